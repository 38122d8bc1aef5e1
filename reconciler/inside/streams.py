"""What a service speaks through: its standard streams, its logging, and the descriptors below both.

Each turns what it is given into lines, and hands them on to the worker's output; a line is told whole, and of one that
grows too long nothing is told that might end within a secret.
"""

import io
import logging
from typing import Literal

from .output import REQUEST, TEXT_LIMIT, Output, level_of
from .redaction import Pieces

OPEN_LINES = 64
LONG_LINES = 1_024


class Lines(io.TextIOBase):
    """Takes the place of `sys.stdout` or `sys.stderr`: each line becomes a record of the request that wrote it.

    `print` writes its text and its newline separately, and requests take turns between the two; so every request has an
    unfinished line of its own. One that grows too long is told in pieces, none of which ends within a secret.
    """

    def __init__(self, output: Output, stream: Literal["stdout", "stderr"], fd: int) -> None:
        self._output = output
        self._stream = stream
        self._fd = fd
        self._open: dict[str | None, str] = {}
        self._long: dict[str | None, Pieces] = {}
        self.buffer = _Bytes(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "replace"

    @property
    def name(self) -> str:
        return f"<{self._stream}>"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._fd

    def reconfigure(self, **_: object) -> None:
        """Programs call it on the real streams; there is nothing to configure here."""

    def write(self, text: str) -> int:
        request = REQUEST.get()
        whole = self._open.pop(request, "") + text
        if "\n" in text:
            *lines, whole = whole.split("\n")
            for line in lines:
                self._say(request, line)
        if len(whole) > TEXT_LIMIT:
            self._say_some(request, whole)
        elif whole:
            self._open[request] = whole
            if len(self._open) > OPEN_LINES:
                self._say_some(*self._open.popitem())
        return len(text)

    def finish(self) -> None:
        """Write the lines that never got their newline."""
        while self._open:
            self._say(*self._open.popitem())
        while self._long:
            self._say(next(iter(self._long)), "")

    def _say(self, request: str | None, line: str) -> None:
        """A line, or what is left of one."""
        pieces = self._long.pop(request, None)
        if pieces is not None:
            line = _text(pieces.feed(_bytes(line)) + pieces.finish())
        self._output.write(self._stream, line.removesuffix("\r"), request=request)

    def _say_some(self, request: str | None, text: str) -> None:
        """What can be told of a line already."""
        pieces = self._long.get(request)
        if pieces is None:
            if len(self._long) >= LONG_LINES:
                self._say(next(iter(self._long)), "")
            pieces = self._long[request] = self._output.redactor.pieces()
        if told := pieces.feed(_bytes(text)):
            self._output.write(self._stream, _text(told), request=request)


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._lines.fileno()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._lines.write(bytes(data).decode(errors="replace"))
        return len(data)


class Records(logging.Handler):
    """The root of logging: one call, one record, with its traceback inside.

    It is made before the fork, and told where to write after it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.output: Output | None = None
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if self.output is None:
            return
        try:
            self.output.write(
                "log", self.format(record), request=REQUEST.get(), level=level_of(record.levelno), logger=record.name
            )
        except Exception:
            self.handleError(record)


class RawLines:
    """What arrived on a descriptor, from C code or a child process: bytes in, records out."""

    def __init__(self, output: Output, stream: Literal["stdout", "stderr"]) -> None:
        self._output = output
        self._stream: Literal["stdout", "stderr"] = stream
        self._open = b""
        self._long: Pieces | None = None

    def feed(self, data: bytes) -> None:
        *lines, self._open = (self._open + data).split(b"\n")
        for line in lines:
            self._say(line)
        if len(self._open) > TEXT_LIMIT:
            self._long = self._long or self._output.redactor.pieces()
            told, self._open = self._long.feed(self._open), b""
            self._write(told)

    def finish(self) -> None:
        if self._open or self._long:
            line, self._open = self._open, b""
            self._say(line)

    def _say(self, line: bytes) -> None:
        """A line, or what is left of one."""
        pieces, self._long = self._long, None
        self._write(line if pieces is None else pieces.feed(line) + pieces.finish())

    def _write(self, line: bytes) -> None:
        self._output.write(self._stream, line.decode(errors="replace").removesuffix("\r"))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
