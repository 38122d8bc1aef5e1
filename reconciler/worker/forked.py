"""A process as nobody else can be named: by its pid, and by when the kernel says that it began."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

FIELDS = 20


@dataclass(frozen=True, slots=True)
class Forked:
    pid: int
    started: str
    """The kernel's start time of the process: with the pid, a name that is never reused."""

    def runs(self) -> bool:
        """Whether it does something yet; what only waits to be reaped does not."""
        fields = _stat(self.pid)
        return fields[19] == self.started and fields[0] not in ("", "Z", "X")

    def kill(self) -> None:
        """End it now, if the pid still names the process that was started."""
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        # 0 and -1 would be everybody.
        if self.pid > 1 and start_time(self.pid) == self.started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def start_time(pid: int) -> str:
    """Field 22 of `/proc/PID/stat`; empty where there is no such process or no such file system."""
    return _stat(pid)[19]


def cpu_ticks(pid: int, started: str) -> int | None:
    """Processor time of a process and of those of its children that it has seen off; None when it is not there."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) if started and fields[19] == started else None


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process, from its state on."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return [""] * FIELDS
    # Its own name, in parentheses before these, may hold anything.
    return stat.rpartition(")")[2].split()
