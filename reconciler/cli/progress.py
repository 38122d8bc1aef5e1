"""One line that says what is being done, on a terminal; elsewhere nothing at all.

It is rewritten in place and gone when the answer is printed. Refuses to fill a log.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from reconciler.cli.terminal import is_smart, safe

BACK = "\r\x1b[K"


class Progress:
    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._total = 0
        self._finished = 0

    @classmethod
    @contextmanager
    def on(cls, stream: TextIO) -> Iterator["Progress"]:
        progress = cls(stream if is_smart(stream) else None)
        try:
            yield progress
        finally:
            progress.clear()

    def expect(self, total: int) -> None:
        self._total = total

    def say(self, name: str, phase: str) -> None:
        if phase == "checked":
            self._finished += 1
        count = f"[{self._finished}/{self._total}] " if self._total else ""
        self._write(f"{count}{safe(name)}: {safe(phase)}")

    def clear(self) -> None:
        """Make room for a line that stays."""
        self._write("")

    def _write(self, line: str) -> None:
        if self._stream is not None:
            self._stream.write(f"{BACK}{line[: shutil.get_terminal_size().columns - 1]}")
            self._stream.flush()
