"""Everything a service says, one JSON record per line, in two files of bounded size.

    {"time", "service", "release", "worker", "request", "stream", "level", "logger"?, "message"}

A level is one of five words, whatever a service calls its own: what was only printed is INFO, and WARNING on stderr.
Several processes append to `current.jsonl` at the same time: each record is one write to a file opened for appending,
and whoever finds it full renames it to `previous.jsonl` under a lock, so that a service never holds more than twice
its limit. A flood is cut off per worker and says how much was lost. Secrets are taken out of every text before it is
cut to its length and written.
"""

import contextlib
import fcntl
import io
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .redaction import Pieces, Redactor

Stream = Literal["stdout", "stderr", "log"]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

REQUEST: ContextVar[str | None] = ContextVar("reconciler_request", default=None)
"""The id of the request that the running code belongs to."""

CURRENT = "current.jsonl"
PREVIOUS = "previous.jsonl"
RECORD_LIMIT = 16 * 1024
TEXT_LIMIT = 12 * 1024
CUT = " … [cut]"
LINES_PER_SECOND = 5_000
BURST = 20_000
NOTICE_EVERY = 1.0
OPEN_LINES = 64
LONG_LINES = 1_024
NO_SECRETS = Redactor(())

UNSAID: dict[str, Level] = {"stdout": "INFO", "stderr": "WARNING", "log": "INFO"}
"""The level of what names none."""

_quote = json.encoder.encode_basestring


class OutputFile:
    """Append to the current file of one folder; rotate it when it is full."""

    def __init__(self, folder: str | os.PathLike[str], limit: int) -> None:
        # Plain strings: every worker makes one of these, and pathlib writes to a hundred kilobytes of shared memory.
        self._folder = os.fspath(folder)
        self._current = f"{self._folder}/{CURRENT}"
        self._limit = limit
        self._lock = threading.Lock()
        try:
            self._fd = self._open()
        except FileNotFoundError:
            Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = self._open()

    def append(self, record: bytes) -> None:
        try:
            os.write(self._fd, record)
            # After an appending write the offset is the file's size, whoever else writes to it.
            if os.lseek(self._fd, 0, os.SEEK_CUR) >= self._limit:
                self._rotate()
        except OSError:
            # A full disk or a removed folder must not become an exception inside somebody's print().
            return

    def close(self) -> None:
        os.close(self._fd)

    def _open(self) -> int:
        return os.open(self._current, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _rotate(self) -> None:
        with self._lock, self._alone():
            with contextlib.suppress(FileNotFoundError):
                # Another process may have been first; then ours is the previous file already.
                current = Path(self._current)
                if current.stat().st_ino == os.fstat(self._fd).st_ino:
                    current.rename(current.with_name(PREVIOUS))
            fresh = self._open()
            os.dup2(fresh, self._fd, inheritable=False)
            os.close(fresh)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


@dataclass(frozen=True, slots=True)
class Speaker:
    service: str
    release: str
    worker: str


class Output:
    """The records of one worker: rate-limited, redacted, written."""

    def __init__(
        self,
        file: OutputFile,
        speaker: Speaker,
        redactor: Redactor = NO_SECRETS,
        *,
        rate: float = LINES_PER_SECOND,
        burst: float = BURST,
    ) -> None:
        self.redactor = redactor
        self._file = file
        self._who = "".join(
            f',"{name}":{_quote(value)}'
            for name, value in (("service", speaker.service), ("release", speaker.release), ("worker", speaker.worker))
        )
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled = time.monotonic()
        self._dropped = 0
        self._notice_due = 0.0
        self._second = 0
        self._clock = ""
        self.on_drop: Callable[[], None] | None = None
        """Called when lines begin to be dropped: someone should call `settle` a little later."""

    def write(
        self, stream: Stream, message: str, *, request: str | None = None, level: Level | None = None, logger: str = ""
    ) -> None:
        if self._is_flooded():
            return
        self._append(stream, message, request, level or UNSAID[stream], logger)

    @property
    def has_dropped(self) -> bool:
        """There are lost lines that nobody was told of yet."""
        return self._dropped > 0

    def settle(self, *, final: bool = False) -> None:
        """Say how many lines were dropped, at most once a second."""
        if self._dropped and (final or time.monotonic() >= self._notice_due):
            count, self._dropped = self._dropped, 0
            self._append("log", f"{count} lines dropped", None, "WARNING", "reconciler")

    def _is_flooded(self) -> bool:
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._dropped:
            self.settle()
        if self._tokens >= 1:
            self._tokens -= 1
            return False
        self._dropped += 1
        if self._dropped == 1:
            self._notice_due = now + NOTICE_EVERY
            if self.on_drop is not None:
                self.on_drop()
        return True

    def _append(self, stream: Stream, message: str, request: str | None, level: Level, logger: str) -> None:
        told = self.redactor.text
        head = (
            f'{{"time":"{self._now()}"{self._who},"request":{_quote(told(request)) if request else "null"}'
            f',"stream":"{stream}","level":"{level}"'
            f'{f",{chr(34)}logger{chr(34)}:{_quote(told(logger))}" if logger else ""},"message":'
        )
        self._file.append(fit(head, self.redactor.cut(message, TEXT_LIMIT, CUT)))

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._clock}.{int((now - second) * 1000):03}Z"


def fit(head: str, message: str) -> bytes:
    while True:
        record = f"{head}{_quote(message)}}}\n".encode(errors="replace")
        if len(record) <= RECORD_LIMIT:
            return record
        # Control characters and other alphabets take several bytes each.
        message = message[: len(message) // 2] + CUT


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


def level_of(number: int) -> Level:
    """The word for a level of `logging`, also for those that somebody put in between."""
    if number < logging.INFO:
        return "DEBUG"
    if number < logging.WARNING:
        return "INFO"
    if number < logging.ERROR:
        return "WARNING"
    return "ERROR" if number < logging.CRITICAL else "CRITICAL"


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
