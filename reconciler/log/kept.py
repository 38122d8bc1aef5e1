"""What the platform says, kept: records like those of services, in two files of bounded size that its processes share.

    {"time", "service", "release", "worker", "request", "sync", "process", "stream", "level", "logger", "message"}

Secrets are taken out before anything is written. A flood is cut off and counted, and a record that must not be found
later (`extra={"kept": False}`) is not written at all.
"""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from reconciler.inside.output import CUT, TEXT_LIMIT, OutputFile, fit, level_of
from reconciler.log.line import facts_of

LIMIT = 8 << 20
"""Bytes of each of the two files."""
ABOUT = ("service", "release", "worker", "request", "sync")
WINDOW = 10.0
MOST_IN_WINDOW = 2_000


class Kept(logging.Handler):
    def __init__(
        self,
        folder: Path,
        process: str,
        redact: Callable[[str], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._file = OutputFile(folder, LIMIT)
        self._process = process
        self._redact = redact
        self._traceback = logging.Formatter().formatException
        self._allowance = Allowance(clock)

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "kept", True):
            return
        try:
            if dropped := self._allowance.settle():
                self._write(self._told(f"{dropped} lines dropped", "WARNING"))
            if self._allowance.take():
                self._write(self._of(record))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _of(self, record: logging.LogRecord) -> dict[str, object]:
        message = record.getMessage() + facts_of(record)
        if record.exc_info:
            message += "\n" + self._traceback(record.exc_info)
        about = {name: self._text(getattr(record, name, None)) for name in ABOUT}
        return self._told(shortened(self._redact(message)), level_of(record.levelno), record.name, **about)

    def _told(self, message: str, level: str, logger: str = "reconciler.log", **about: str | None) -> dict[str, object]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = {name: about.get(name) for name in ABOUT} | {"process": self._process, "stream": "log"}
        return {"time": now, **told, "level": level, "logger": logger, "message": message}

    def _text(self, value: object) -> str | None:
        return None if value is None else self._redact(str(value))

    def _write(self, told: dict[str, object]) -> None:
        message = str(told.pop("message"))
        head = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        self._file.append(fit(f'{head[:-1]},"message":', message))


class Allowance:
    """So many lines in a while; how many were too many is told when it is over."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._taken = 0
        self._dropped = 0

    def take(self) -> bool:
        self._taken += 1
        if self._taken > MOST_IN_WINDOW:
            self._dropped += 1
            return False
        return True

    def settle(self) -> int:
        """How many were dropped, once a new while begins."""
        if self._clock() - self._began < WINDOW:
            return 0
        dropped, self._dropped, self._taken, self._began = self._dropped, 0, 0, self._clock()
        return dropped


def shortened(text: str) -> str:
    """Without its middle: a traceback says at its end what happened."""
    if len(text) <= TEXT_LIMIT:
        return text
    # Letters may take two bytes.
    return f"{text[: TEXT_LIMIT // 4]}{CUT}{text[-TEXT_LIMIT // 4 :]}"
