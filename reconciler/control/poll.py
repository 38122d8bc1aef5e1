"""The back-stop: ask now and then whether the branch has moved, also when nobody says so.

It asks before it fetches, and asks for no sync when nothing came: a quiet repository leaves no trace. What goes wrong
again and again is asked for ever more rarely, and what only a commit can mend is not asked for until there is one.
"""

import contextlib
import logging
import random
import time

from reconciler.control.loop import Loop
from reconciler.control.pace import Pace
from reconciler.model.failure import Failure, Stalled, Wait
from reconciler.model.names import sha_of
from reconciler.source.followed import Source
from reconciler.source.polling import next_poll
from reconciler.store.unusable import StoreUnusable

log = logging.getLogger(__name__)

NO_COMMIT = "none"
WORTH_TELLING = 5
"""So many looks in a row may fail before it is more than a hiccup: a quarter of a minute."""


async def poll(loop: Loop, mirror: Source, pace: Pace) -> None:
    looking = Looking(loop, mirror, pace)
    while True:
        after = looking.trouble.after if isinstance(looking.trouble, Wait) else None
        now = time.monotonic()
        due = next_poll(now, pace.interval, failures=looking.failures, after=after, random=random.random)
        await pace.wait(due - now, patient=looking.failures > 0)
        await looking.once()


class Looking:
    """One look after another, and how many in a row went wrong."""

    def __init__(self, loop: Loop, mirror: Source, pace: Pace) -> None:
        self.failures = 0
        self.trouble: Failure | None = None
        """Why the last look, or the sync it asked for, failed."""
        self._loop = loop
        self._mirror = mirror
        self._pace = pace
        self._asked_for: str | None = None
        self._told: Failure | None = None

    async def once(self) -> None:
        try:
            latest = await self._mirror.latest()
            self._note(self._loop.seen.trouble if self._asked_for is not None else None)
            if self._is_worth_asking(latest):
                if self._is_news(latest):
                    self._pace.surprised()
                await self._loop.triggers.ask("poll", "reconciler")
                self._asked_for = latest or NO_COMMIT
        except Failure as failure:
            self._note(failure)
            self._told = failure
            self._loop.source_failed(failure)
            await self._tell_once()
        except StoreUnusable as unusable:
            self.failures += 1
            log.warning("a sync could not be asked for", extra={"error": str(unusable)})

    async def _tell_once(self) -> None:
        """What lasts deserves a sync that says so, to those who are not looking."""
        if self.failures == WORTH_TELLING:
            with contextlib.suppress(StoreUnusable):
                await self._loop.triggers.ask("poll", "reconciler")

    def _note(self, trouble: Failure | None) -> None:
        self.trouble = trouble
        if trouble is None:
            self.failures, self._asked_for = 0, None
        else:
            self.failures += 1

    def _is_worth_asking(self, latest: str | None) -> bool:
        trouble, moved = self._loop.seen.trouble, self._is_news(latest)
        if isinstance(trouble, Stalled) and trouble is not self._told:
            return moved and (latest or NO_COMMIT) != self._asked_for
        return moved or trouble is not None

    def _is_news(self, latest: str | None) -> bool:
        """No sync has met it. Whoever plans fetches too, and follows nothing."""
        return latest != self._mirror.tip or (latest or "") != sha_of(self._loop.seen.attempted)
