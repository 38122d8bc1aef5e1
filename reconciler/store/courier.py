"""Carries a spool to its destination, in a thread of its own, for as long as that takes.

Whoever writes to the journal never waits for it. A destination that is away, slow or wrong is tried again, ever
less often; nothing is dropped meanwhile, and what is told of it is one sentence.
"""

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from reconciler.store.spool import Spool
from reconciler.store.unusable import StoreUnusable

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
PULSE = 10.0
GATHERS = 0.03
LEAVES_WITHIN = 5.0

log = logging.getLogger(__name__)


class Destination(Protocol):
    @property
    def place(self) -> str:
        """For people; no secret."""

    def deliver(self, changes: Spool) -> None:
        """Everything that waits, also when there is nothing. Twice does no harm."""

    def leave(self, changes: Spool) -> None:
        """Nothing more will come for now."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """How a destination stands, for the status."""

    name: str
    place: str
    waiting: int = 0
    """Changes it has not got."""
    trouble: str | None = None
    since: datetime | None = None
    """Since when there is trouble."""


class Courier:
    def __init__(self, name: str, destination: Destination, spool: Spool) -> None:
        self.standing = Standing(name, destination.place)
        self._destination = destination
        self._spool = spool
        self._changed = threading.Condition()
        self._asked = True
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"to the {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        with self._changed:
            self._asked = True
            self._changed.notify()

    def stop(self, within: float = LEAVES_WITHIN) -> None:
        """Carry there what can be; what cannot in time stays in the spool for the next start."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(within)

    def _run(self) -> None:
        try:
            self._carry()
        except StoreUnusable:
            # The journal was closed while somebody did not answer; the spool keeps what is left.
            log.info("stopped before everything was told", extra={"to": self.standing.place})
        finally:
            self._destination.close()

    def _carry(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping:
            if self._try():
                pause = FIRST_PAUSE
                self._rest()
            else:
                self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        if self._try():
            with suppress(Exception):
                self._destination.leave(self._spool)

    def _rest(self) -> None:
        """Until there is something new; now and then it goes without, so that the destination hears of us."""
        deadline = time.monotonic() + PULSE
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            with self._changed:
                self._changed.wait_for(lambda: self._asked or self._stopping, left)
                asked, self._asked = self._asked, False
            if asked and self._is_more():
                # Changes come in small crowds: one journey for all of them.
                self._pause(GATHERS)
                return

    def _is_more(self) -> bool:
        """Also where that cannot be told just now: the next journey meets the same trouble, and says so."""
        try:
            return self._spool.waiting() > 0
        except StoreUnusable:
            return True

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    def _try(self) -> bool:
        try:
            self._deliver()
        except StoreUnusable as unusable:
            self._note(str(unusable))
        except Exception as bug:
            log.exception("changes could not be carried on", extra={"to": self.standing.place})
            self._note(f"It met a bug: {type(bug).__name__}.")
        else:
            self._note(None)
        return self.standing.trouble is None

    def _deliver(self) -> None:
        try:
            self._destination.deliver(self._spool)
        except StoreUnusable as unusable:
            # A connection may have ended unnoticed while there was nothing to say.
            if not unusable.may_pass or self.standing.trouble is not None:
                raise
            self._destination.deliver(self._spool)

    def _waiting(self) -> int:
        """As far as is known: a full disk may keep the spool from answering, and passes."""
        try:
            return self._spool.waiting()
        except StoreUnusable:
            if self._stopping:
                raise
            return self.standing.waiting

    def _note(self, trouble: str | None) -> None:
        before = self.standing
        if trouble is None and before.trouble is None:
            return
        waiting = 0 if trouble is None else self._waiting()
        since = None if trouble is None else before.since or datetime.now(UTC)
        self.standing = replace(before, waiting=waiting, trouble=trouble, since=since)
        if trouble is None:
            log.info("got everything again", extra={"to": before.place, "since": str(before.since)})
        elif trouble != before.trouble:
            log.warning(f"changes are spooled: {trouble}", extra={"to": before.place})
