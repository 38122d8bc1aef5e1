"""A terminal of a given size, and what is shown on it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from types import TracebackType

from tests.cli.running import environment

NONE: Mapping[str, str] = {}
SHADE = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, *words: str, columns: int = 80, rows: int = 24, variables: Mapping[str, str] = NONE) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reconciler.cli", *words],
            env=environment(**{"TERM": "xterm", **variables}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._seen = b""
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    @property
    def seen(self) -> str:
        return self._seen.decode(errors="replace")

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._master, 65536)
            except OSError:
                return
            if not piece:
                return
            self._seen += piece

    def wait(self, within: float = 30.0) -> int:
        code = self.process.wait(within)
        self._reading.join(within)
        return code

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.process.kill()
        self.wait()
        os.close(self._master)


def shown(*words: str, columns: int = 80, **variables: str) -> tuple[int, str]:
    """How it ended, and all that it wrote."""
    with Terminal(*words, columns=columns, variables=variables) as terminal:
        return terminal.wait(), terminal.seen


def plain(text: str) -> list[str]:
    return SHADE.sub("", text).splitlines()
