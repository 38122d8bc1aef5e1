"""Everything that happens, in the order in which it happened, for whoever listens.

No secret passes: what is told here goes to terminals, forges and databases. Events are written down before anybody
hears of them, so that a listener who comes back can ask for what it missed; but for those who only watch.
Nobody who tells something waits for those who listen: a listener that does not keep up loses the oldest notices and
is told so.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from reconciler.control.veil import Veil
from reconciler.model.names import ReleaseId, ServiceName, SyncId
from reconciler.model.notice import Kind, Notice
from reconciler.store.journal import Journal, Transaction
from reconciler.store.unusable import StoreUnusable

log = logging.getLogger(__name__)

Written = Callable[[Notice], object]

MOST_WAITING = 1_000
"""Notices that one listener may have in front of it."""
MOST_TOGETHER = 5
"""Events that are written down at once; nobody goes ahead in the middle of them."""
BACKLOG = 50
"""Of many that wait, one in so many: each writing is a flush, and a slow disk must keep up."""
MOST_UNTOLD = 10_000
"""What only passes by is left out when so much waits for a slow disk."""


class Listener:
    """One that hears every notice from now on, in order."""

    def __init__(self, on_missed: Callable[[], object] = lambda: None) -> None:
        self._on_missed = on_missed
        self.missed = 0
        """How many were lost since the last time that somebody looked, because nobody heard them in time."""
        self._waiting: deque[Notice] = deque()
        self._told = asyncio.Event()

    def tell(self, notice: Notice) -> None:
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self.missed += 1
            self._on_missed()
        self._waiting.append(notice)
        self._told.set()

    def __aiter__(self) -> AsyncIterator[Notice]:
        return self

    async def __anext__(self) -> Notice:
        while not self._waiting:
            self._told.clear()
            await self._told.wait()
        return self._waiting.popleft()


class Feed:
    def __init__(self, journal: Journal, veil: Veil) -> None:
        self._journal = journal
        self._veil = veil
        self._listeners: set[Listener] = set()
        self._early: set[Listener] = set()
        self._untold: deque[tuple[Notice, Written | None]] = deque()
        self._telling: asyncio.Task[None] | None = None
        self.witness: Written = _nobody
        """Hears of everything at the moment that it happens, before it is written down, and never misses any of it."""
        self.dropped = 0
        """Notices that some listener lost, or that a slow disk kept from all of them."""

    @contextmanager
    def listen(self, *, early: bool = False) -> Iterator[Listener]:
        """Hear what is told from here on, until the block is left; `early` for who will never ask what was missed."""
        listener, listeners = Listener(self._drop), self._early if early else self._listeners
        listeners.add(listener)
        try:
            yield listener
        finally:
            listeners.discard(listener)

    def happened(
        self,
        kind: Kind,
        message: str,
        *,
        service: ServiceName | None = None,
        release: ReleaseId | None = None,
        sync: SyncId | None = None,
        revision: str | None = None,
        data: Mapping[str, Any] | None = None,
        written: Written | None = None,
    ) -> None:
        """Write an event down, then tell it. `written` hears of it first."""
        notice = Notice(
            kind=kind,
            at=datetime.now(UTC),
            message=message,
            service=service,
            release=release,
            sync=sync,
            revision=revision,
            data=data or {},
        )
        _show(notice, self.witness)
        self._enqueue(notice, written or _nobody)

    def passes(
        self,
        kind: Kind,
        message: str,
        *,
        service: ServiceName | None = None,
        release: ReleaseId | None = None,
        sync: SyncId | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell progress, which nobody asks for afterwards."""
        at = datetime.now(UTC)
        notice = Notice(kind=kind, at=at, message=message, service=service, release=release, sync=sync, data=data or {})
        _show(notice, self.witness)
        if not self._listeners and not self._early:
            return
        if len(self._untold) >= MOST_UNTOLD:
            self._drop()
            return
        self._enqueue(notice, None)

    async def settle(self) -> None:
        """Wait until all that was told so far has been heard."""
        while self._telling is not None and not self._telling.done():
            await asyncio.wait([self._telling])

    def _drop(self) -> None:
        self.dropped += 1

    def _enqueue(self, notice: Notice, written: Written | None) -> None:
        veiled = replace(notice, message=self._veil.text(notice.message), data=self._veil.plain(notice.data))
        for listener in self._early:
            listener.tell(veiled)
        self._untold.append((veiled, written))
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        """Some at a time and in order, so that progress does not overtake the event that it follows."""
        while self._untold:
            most = max(MOST_TOGETHER, len(self._untold) // BACKLOG)
            some = [self._untold.popleft() for _ in range(min(most, len(self._untold)))]
            for notice in await self._written(some):
                for listener in self._listeners:
                    listener.tell(notice)

    async def _written(self, some: list[tuple[Notice, Written | None]]) -> list[Notice]:
        """The same, with the numbers that events have once they are written down."""
        numbers = iter(await self._number([notice for notice, written in some if written is not None]))
        told = []
        for notice, written in some:
            number = next(numbers) if written is not None else None
            told.append(replace(notice, id=number))
            if written is not None and number is not None:
                _show(told[-1], written)
        return told

    async def _number(self, events: list[Notice]) -> list[int | None]:
        """What each is called in the journal; None for what is not in there."""
        if not events:
            return []
        try:
            return [*await self._journal.write(partial(_write, events))]
        except StoreUnusable:
            log.exception("events could not be written down", extra={"events": [event.kind for event in events]})
            return [None for _ in events]
        except Exception:
            if len(events) > 1:
                # One that cannot be written is no reason to lose the others.
                return [number for event in events for number in await self._number([event])]
            log.exception("a bug kept an event from being written down", extra={"kind": events[0].kind})
            return [None]


def _write(events: Iterable[Notice], entries: Transaction) -> list[int]:
    return [
        entries.event(
            event.kind,
            event.message,
            event.service,
            event.release,
            sync=event.sync,
            revision=event.revision,
            data=event.data,
            at=event.at,
        )
        for event in events
    ]


def _show(notice: Notice, witness: Written) -> None:
    try:
        witness(notice)
    except Exception:
        # It only looks on: what it gets wrong is no reason to stop a deploy.
        log.exception("a bug kept a notice from its witness", extra={"kind": notice.kind})


def _nobody(_: Notice) -> None:
    """Nobody but the listeners wants to know."""
