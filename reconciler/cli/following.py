"""Records as they come, also from the server that takes the place of the one that was asked.

A restart of the control plane, or of the whole server, is no end. What was said meanwhile follows, and nothing twice.
"""

import json
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.cli.server import Query, Unreachable, find
from reconciler.cli.terminal import complain

TRY_EVERY = 0.5
OVERLAP = timedelta(seconds=2)
"""Several workers write at the same time, each a little late; what comes twice for it is known."""
MOST = 10_000


def followed(data: Path, path: str, **query: Query) -> Iterator[Any]:
    """The first connection must succeed; from then on only the caller ends it."""
    place = Place(query)
    was_there = False
    while True:
        try:
            with find(data).stream(path, {**place.query, "follow": True}) as lines:
                was_there = True
                yield from place.fresh(lines)
        except Unreachable:
            if not was_there:
                raise
        if not place.is_waiting:
            place.is_waiting = True
            complain("the server went away; waiting for it")
        time.sleep(TRY_EVERY)


class Place:
    """How far we are in what is told."""

    def __init__(self, query: dict[str, Query]) -> None:
        self.is_waiting = False
        self._query = query
        self._known: dict[str, None] = {}
        self._last: datetime | None = None

    @property
    def query(self) -> dict[str, Query]:
        """What to ask for: at first as the caller said, later all that is new since."""
        if self._last is None:
            return self._query
        return {**self._query, "since": (self._last - OVERLAP).isoformat(), "limit": MOST}

    def fresh(self, lines: Iterable[bytes]) -> Iterator[Any]:
        self.is_waiting = False
        for line in lines:
            text = line.decode(errors="replace").strip()
            if not text or text in self._known:
                continue
            record = json.loads(text)
            self._remember(text, str(record.get("time")))
            yield record

    def _remember(self, text: str, moment: str) -> None:
        self._known[text] = None
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]
        try:
            self._last = datetime.fromisoformat(moment)
        except ValueError:
            return
