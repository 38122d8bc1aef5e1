"""What a worker and the processes below it use, and whether the kernel has begun to kill for memory.

Counted is memory that lies there and belongs to no file (`RssAnon`): any user may read that, also of processes that
may not be looked into. What a worker shares with its stem is in it. Refuses to judge; without /proc it sees nothing.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KIBIBYTE = 1024
SEEN_AT_MOST = 4096
"""A fork bomb shall not keep whoever counts it."""


@dataclass(frozen=True, slots=True)
class Usage:
    memory: int
    processes: int
    """And threads."""


def usage_of(pid: int) -> Usage:
    """Of this process and those below it; one that has left its parents is not found."""
    memory = processes = 0
    family = [pid]
    while family and processes < SEEN_AT_MOST:
        one = family.pop()
        status = _read(Path(f"/proc/{one}/status"))
        processes += max(1, _field(status, "Threads:"))
        memory += _field(status, "RssAnon:") * KIBIBYTE
        family += map(int, _read(Path(f"/proc/{one}/task/{one}/children")).split())
    return Usage(memory, processes)


def kills_for_memory() -> int:
    """How many processes the kernel has killed since it started because memory had run out."""
    return _field(_read(Path("/proc/vmstat")), "oom_kill ")


def _field(text: str, name: str) -> int:
    for line in text.splitlines():
        if line.startswith(name):
            return int(line[len(name) :].split()[0])
    return 0


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace")
    return ""
