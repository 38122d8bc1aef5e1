"""`reconciler status --watch`: what is true, for as long as somebody looks.

A terminal is redrawn in place and gets its former content back in the end; a pipe gets one line for each change.
Whatever happens to the server, this goes on, and says that it knows nothing newer.
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from reconciler.cli.bell import Bell
from reconciler.cli.changes import changes
from reconciler.cli.moments import ago
from reconciler.cli.seen import Seen
from reconciler.cli.server import Unreachable
from reconciler.cli.table import Cell, flowed, folded
from reconciler.cli.terminal import Screen, complain, is_smart, say

LOOK_EVERY = 2.0
"""Seconds, while nobody tells what happens."""
LOOK_ANYWAY = 15.0
UNREACHABLE = 3

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Display(AbstractContextManager[Any], Protocol):
    def show(self, seen: Seen, away: datetime | None) -> None:
        """`away` is since when the server does not answer."""


def watch(look: Callable[[], Seen], data: Path, name: str | None, *, as_json: bool) -> int:
    """Until Ctrl-C; the exit code says how it stood in the end."""
    bell = Bell(data, name)
    away: datetime | None = None
    seen = look()
    display: Display = Stream(as_json) if as_json or not is_smart(sys.stdout) else Frame()
    with _ended_politely(), display, bell:
        looked = time.monotonic()
        while True:
            display.show(seen, away)
            rang = bell.wait(1.0)
            if not rang and time.monotonic() - looked < (LOOK_ANYWAY if bell.is_heard else LOOK_EVERY):
                continue
            try:
                seen, away = look(), None
            except Unreachable:
                away = away or datetime.now(UTC)
            looked = time.monotonic()
    if away is not None:
        return UNREACHABLE
    return 0 if seen.is_good else 1


@contextmanager
def _ended_politely() -> Iterator[None]:
    """Ctrl-C and SIGTERM are how this ends."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


class Frame:
    """A terminal, redrawn in place. What is wrong comes first, since not everything may fit."""

    def __init__(self) -> None:
        self._drawn = ""
        self._last: list[str] = []

    def __enter__(self) -> "Frame":
        sys.stdout.write(ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.write(LEAVE)
        for line in self._last:
            say(line)
        sys.stdout.flush()

    def show(self, seen: Seen, away: datetime | None) -> None:
        screen = Screen.of(sys.stdout)
        self._last = [*folded(seen.lines(screen, worst_first=True), screen)]
        frame = HOME + "".join(f"{line}{REST_OF_LINE}\n" for line in self._fitting(screen, away)) + REST_OF_SCREEN
        if frame != self._drawn:
            self._drawn = frame
            sys.stdout.write(frame)
            sys.stdout.flush()

    def _fitting(self, screen: Screen, away: datetime | None) -> Iterator[str]:
        foot = list(flowed(_foot(away), screen))
        room = max(1, screen.rows - len(foot) - 2)
        if len(self._last) > room:
            yield from islice(self._last, room - 1)
            yield screen.paint(f"… {len(self._last) - room + 1} more lines", "dim")
        else:
            yield from self._last
        yield ""
        yield from foot


def _foot(away: datetime | None) -> Iterator[Cell]:
    if away is None:
        yield Cell("watching; Ctrl-C ends", "dim")
    else:
        yield Cell(f"! the server went away {ago(away.isoformat())}", "yellow")
        yield Cell("waiting for it; Ctrl-C ends", "dim")


class Stream:
    """A pipe: at first everything, then what is not as it was."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._told: Seen | None = None
        self._is_away = False

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()

    def show(self, seen: Seen, away: datetime | None) -> None:
        if away is not None and not self._is_away:
            complain("the server went away; waiting for it")
        self._is_away = away is not None
        for change in changes(self._told, seen):
            say(json.dumps(change.told) if self._as_json else change.line)
        self._told = seen
        sys.stdout.flush()
