"""What each worker uses of the machine, as the kernel tells it when somebody asks.

Nothing is told of a process that is gone by then, or whose number names another by now.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.inside.usage import usage_of
from reconciler.model.names import ReleaseId, ServiceName, WorkerId
from reconciler.worker.forked import cpu_ticks

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Labour:
    """A worker, as far as it takes to look it up."""

    service: ServiceName
    release: ReleaseId
    worker: WorkerId
    pid: int
    started: str


@dataclass(frozen=True, slots=True)
class Used:
    by: Labour
    memory: int
    """Octets, of it and the processes below it."""
    cpu: float
    """Seconds, of it and those of its children that have ended."""


def used(workers: Iterable[Labour]) -> list[Used]:
    """Some files of /proc for each: not for the thread that has other things to do."""
    told = []
    for worker in workers:
        memory = usage_of(worker.pid).memory
        ticks = cpu_ticks(worker.pid, worker.started)
        if ticks is not None:
            told.append(Used(worker, memory, ticks / TICKS))
    return told
