"""What a sync asks of one service, and what became of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from reconciler.control.wanted import Wanted
from reconciler.model.failure import Failure, Reason, Wait
from reconciler.model.names import ServiceName, SyncId
from reconciler.model.status import PhaseTime
from reconciler.source.tree import Tree


@dataclass(frozen=True, slots=True)
class Outcome:
    state: Literal["done", "failed", "superseded"]
    failure: Failure | None = None
    phases: tuple[PhaseTime, ...] = ()
    """How long each step took."""


DONE = Outcome("done")
SUPERSEDED = Outcome("superseded")

Work = asyncio.Task[Outcome]


@dataclass(frozen=True, slots=True)
class Order:
    """What a sync asks of one service, and what it has to wait for."""

    wanted: Wanted
    open_tree: Callable[[], Tree]
    sync: SyncId
    after: Sequence[tuple[ServiceName, Work]] = ()
    """Services it depends on, which this sync changes too."""


def outcome_of(work: Work) -> Outcome:
    """What became of it; a task that was cancelled before its first step could not say so itself."""
    return SUPERSEDED if work.cancelled() else work.result()


def dependency_not_ready(name: ServiceName) -> Wait:
    return Wait(Reason.DEPENDENCY_NOT_READY, f"{name}, on which it depends, is not ready")
