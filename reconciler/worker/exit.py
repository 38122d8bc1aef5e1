"""How a worker's process ended."""

import contextlib
import os
import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exit:
    status: int | None
    """The raw wait status, or None when nobody was there to reap it."""
    out_of_memory: bool = False
    """It was killed for the memory that it had: by its zygote, or by a machine that had none left."""

    @property
    def killed_by(self) -> int | None:
        return os.WTERMSIG(self.status) if self.status is not None and os.WIFSIGNALED(self.status) else None

    def __str__(self) -> str:
        if self.out_of_memory:
            return "ran out of memory and was killed"
        if self.status is None:
            return "ended"
        if (number := self.killed_by) is not None:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(number).name}"
            return f"was killed by signal {number}"
        return f"exited with status {os.waitstatus_to_exitcode(self.status)}"
