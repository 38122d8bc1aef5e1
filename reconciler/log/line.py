"""What the platform says on its own terminal.

A line is a moment, the service it is about, a constant sentence, and the facts beside it; so it reads well and
can still be searched. Text that comes from elsewhere has its secrets and its control characters taken out.
"""

import logging
from collections.abc import Callable
from datetime import datetime

OF_LOGGING = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
SAID_ELSEWHERE = frozenset({"service", "kept"})
PLAIN, DIM, RED, YELLOW = "", "\x1b[2m", "\x1b[31m", "\x1b[33m"
PLATFORM = "reconciler"


class Line(logging.Formatter):
    def __init__(self, *, colour: bool, redact: Callable[[str], str] = str) -> None:
        super().__init__()
        self._colour = colour
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        who = getattr(record, "service", None) or PLATFORM
        text = printable(self._redact(f"{record.getMessage()}{facts_of(record)}"))
        line = f"{self._paint(DIM, moment)}  {printable(str(who)):<12} {self._paint(_shade(record.levelno), text)}"
        if record.exc_info:
            line += "\n" + self._redact(self.formatException(record.exc_info))
        return line

    def _paint(self, shade: str, text: str) -> str:
        return f"{shade}{text}\x1b[0m" if self._colour and shade else text


def facts_of(record: logging.LogRecord) -> str:
    """Whatever our own code put beside the sentence, in its order."""
    if not record.name.startswith(PLATFORM):
        return ""
    names = (name for name in record.__dict__ if name not in OF_LOGGING and name not in SAID_ELSEWHERE)
    return "".join(f"  {name}={value}" for name in names if (value := getattr(record, name)))


def printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _shade(level: int) -> str:
    if level >= logging.ERROR:
        return RED
    return YELLOW if level >= logging.WARNING else PLAIN
