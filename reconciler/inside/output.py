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

from .redaction import Redactor

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


def level_of(number: int) -> Level:
    """The word for a level of `logging`, also for those that somebody put in between."""
    if number < logging.INFO:
        return "DEBUG"
    if number < logging.WARNING:
        return "INFO"
    if number < logging.ERROR:
        return "WARNING"
    return "ERROR" if number < logging.CRITICAL else "CRITICAL"
