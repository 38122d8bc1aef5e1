"""What a worker and the processes below it use, and whether the kernel has begun to kill for memory.

Counted is memory that lies there and belongs to no file (`RssAnon`): any user may read that, also of processes that
may not be looked into. What a worker shares with its stem is in it. Refuses to judge; without /proc it sees nothing.
"""

import os
from contextlib import suppress
from dataclasses import dataclass

KIBIBYTE = 1024
SEEN_AT_MOST = 4096
READ_AT_ONCE = 32 * 1024


@dataclass(frozen=True, slots=True)
class Usage:
    memory: int
    processes: int
    """And threads."""


def usage_of(pid: int, *, enough: int | None = None) -> Usage:
    """Of this process and those below it; one that has left its parents is not found.

    It stops as soon as it has found more processes than `enough`: a fork bomb shall not keep whoever counts it.
    """
    most = min(SEEN_AT_MOST, enough or SEEN_AT_MOST)
    memory = processes = 0
    family = [pid]
    while family and processes <= most:
        one = family.pop()
        status = _read(f"/proc/{one}/status")
        threads = max(1, _field(status, b"Threads:"))
        processes += threads
        memory += _field(status, b"RssAnon:") * KIBIBYTE
        family += _children(one, threads)
    return Usage(memory, processes)


def _children(pid: int, threads: int) -> list[int]:
    """The kernel lists a child with the very thread that has started it."""
    tasks = [str(pid)]
    if threads > 1:
        with suppress(OSError):
            tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - twice a second, for each service
    return [int(child) for task in tasks for child in _read(f"/proc/{pid}/task/{task}/children").split()]


def kills_for_memory() -> int:
    """How many processes the kernel has killed since it started because memory had run out."""
    return _field(_read("/proc/vmstat"), b"\noom_kill ")


def _field(text: bytes, name: bytes) -> int:
    """Zero where it is missing, as in what the kernel says of a process that is ending."""
    _, found, rest = text.partition(name)
    return int(rest.split(None, 1)[0]) if found else 0


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return b"".join(iter(lambda: os.read(fd, READ_AT_ONCE), b""))
    except OSError:
        return b""
    finally:
        os.close(fd)
