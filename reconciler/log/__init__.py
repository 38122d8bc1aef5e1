"""How the platform talks: one line when something changes, to whoever looks, and the same as a record that is kept.

Each of its processes, supervisor, gateway and control, sets this up for itself and writes to the same files.
"""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from reconciler.log.kept import Kept
from reconciler.log.line import Line, printable

__all__ = ["configure", "keep", "printable"]

log = logging.getLogger(__name__)


def configure(stream: TextIO = sys.stderr, redact: Callable[[str], str] = str) -> None:
    """Talk to whoever looks at this process."""
    speaker = logging.StreamHandler(stream)
    speaker.setFormatter(Line(colour=stream.isatty(), redact=redact))
    root = logging.getLogger()
    root.handlers[:] = [speaker]
    root.setLevel(logging.WARNING)
    logging.getLogger("reconciler").setLevel(logging.INFO)


def keep(folder: Path, process: str, redact: Callable[[str], str] = str) -> None:
    """From now on also in files, and what ends this process as well. Where there is no room, it runs all the same."""
    sys.excepthook = _say_last
    try:
        logging.getLogger().addHandler(Kept(folder, process, redact))
    except OSError as error:
        log.warning("what is said here cannot be kept", extra={"error": error})


def _say_last(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        log.critical("a bug ends this process", exc_info=(kind, error, where))
    else:
        sys.__excepthook__(kind, error, where)
