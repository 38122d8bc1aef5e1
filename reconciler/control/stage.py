"""Who has the traffic of one service: the live release, the one parked behind it, and those before.

Every change of that goes through here, one at a time and in the same order: write the truth, turn the traffic, let the
old finish. For a while after a switch the old release stays parked, and takes the traffic back by itself when the new
one is clearly worse.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from reconciler.control.account import Account
from reconciler.control.crew_trouble import CrewTrouble
from reconciler.control.cron import Cron
from reconciler.control.departures import Departures, ignore
from reconciler.control.live import Live, Past
from reconciler.control.traffic import Traffic
from reconciler.control.watch import watch
from reconciler.model.failure import Stalled
from reconciler.model.names import EnvironmentId, ReleaseId, ServiceName
from reconciler.model.notice import Kind
from reconciler.model.word import Word
from reconciler.store.journal import Journal, Transaction
from reconciler.store.releases import PAST_KEPT
from reconciler.store.rows import Phase
from reconciler.store.unusable import StoreUnusable
from reconciler.worker.crew import Crew

log = logging.getLogger(__name__)


class Stage:
    def __init__(self, account: Account, prefix: str, journal: Journal, traffic: Traffic, cron: Cron) -> None:
        self.prefix = prefix
        self.live: Live | None = None
        self.past: deque[Past] = deque(maxlen=PAST_KEPT)
        """Live before the one that is, the newest last."""
        self._account = account
        self._journal = journal
        self._traffic = traffic
        self._cron = cron
        self._turn = asyncio.Lock()
        """Held by whoever changes which release is live."""
        self._parked: Live | None = None
        self._window = 0.0
        self._watching: asyncio.Task[None] | None = None
        self._crashed = asyncio.Event()
        self._crew_trouble = CrewTrouble(account, self._is_live)
        self._departures = Departures(journal, traffic)
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def releases(self) -> set[ReleaseId]:
        """Those whose folders must stay."""
        named = {past.release for past in self.past} | self._departures.releases
        return named | ({self.live.release} if self.live else set())

    @property
    def environments(self) -> set[EnvironmentId]:
        named = {past.environment for past in self.past} | self._departures.environments
        return named | ({self.live.environment} if self.live else set())

    def restore(self, live: Live, past: Iterable[Past], parked: Live | None, window: float) -> None:
        """Take up what a former control left, and what is left of its watch window."""
        self.live = live
        self.past.extend(past)
        self._account.serving = str(live)
        self._account.attempted = self._account.applied = self._account.changed = live.recipe.revision
        self._attend(live)
        # Control may have ended between the switch and the word to its workers.
        live.crew.promote()
        self._cron.follow(live, self._account)
        self._account.tell()
        if parked is not None:
            self._traffic.drain(parked.crew.workers)
            self._park(live, parked, window)
            if len(live.crew.workers) < live.recipe.replicas:
                # While nobody looked.
                self._crashed.set()

    async def switch(self, new: Live, window: float) -> None:
        async with self._turn:
            until = new.since + timedelta(seconds=window) if self._may_park(self.live, window) else None
            await self._journal.write(partial(_write_switch, service=self._account.name, new=new, until=until))
            self._account.gone = False
            old = await self._turn_to(new)
            self._let_go_of_parked()
            if old is not None:
                self.past.append(Past(old.release, old.environment))
                if self._may_park(old, window):
                    ignore(old.crew)
                    self._park(new, old, window)
                else:
                    self._departures.begin(old)
        if old is not None:
            # Whoever hears that the switch is done may ask on a connection that the old release still holds.
            await old.crew.withdrawn()
        self._account.happened(Kind.RELEASE_SWITCHED, f"{new} serves", new.release)

    @property
    def parked(self) -> Live | None:
        """The release before, where it still runs and could have the traffic at once."""
        return self._parked if self._parked is not None and self._parked.crew.ready else None

    async def go_back(self, live: Live, good: Live, word: Word) -> bool:
        """A person's word: the traffic is given to `good`. Not when another than `live` has it by now."""
        async with self._turn:
            if self.live is not live:
                return False
            account = self._account
            await self._journal.write(
                partial(_write_going_back, service=account.name, good=good, word=word, attempted=account.attempted)
            )
            # Not before: what could not be written down has changed nothing, and it stays parked.
            if self._parked is good:
                self._parked = None
                good.crew.resume()
            await self._turn_to(good)
            self._let_go_of_parked()
            others = [past for past in self.past if past.release != good.release]
            self.past = deque([*others, Past(live.release, live.environment)], PAST_KEPT)
            self._departures.begin(live)
            account.word, account.trouble, account.rolled_back = word, None, None
            account.applied = account.changed = good.recipe.revision
            account.tell()
        return True

    async def renew(self, live: Live, crew: Crew) -> bool:
        """The same release with other workers. Not when another release has the traffic by now."""
        async with self._turn:
            if self.live is not live:
                return False
            fresh = replace(live, crew=crew)
            await self._turn_to(fresh)
            self._departures.begin(live)
            if self._parked is not None:
                self._begin_to_watch(fresh, self._parked)
            self._crew_trouble.take_back()
            self._account.tell()
        return True

    async def distrust(self, live: Live, trouble: Stalled) -> None:
        """It does not do in public what it did in private: the release before takes the traffic back, if it can."""
        async with self._turn:
            if self.live is not live:
                return
            if (parked := self.parked) is not None:
                self._stop_watching()
                self._parked = None
                await self._take_back(live, parked, trouble)
                return
        self._account.trouble = trouble
        self._account.happened(Kind.SMOKE_FAILED, trouble.message, live.release)
        self._account.tell()

    async def leave(self) -> None:
        """The service is gone from git: unmount it, and let what serves finish."""
        async with self._turn:
            # Before it is forgotten, so that nothing is noted of it behind that.
            self._account.gone = True
            try:
                await self._journal.forget(self._account.name, datetime.now(UTC))
            except StoreUnusable:
                # It stays as it is, with all that it does.
                self._account.gone = False
                raise
            self._cron.forget(self._account.name)
            self._let_go_of_parked()
            self.past.clear()
            live, self.live = self.live, None
            self._account.serving = None
            if live is not None:
                ignore(live.crew)
                self._traffic.drain(live.crew.workers)
            await self._traffic.remove(self.prefix)
            if live is not None:
                self._departures.begin(live)
        if live is not None:
            await live.crew.withdrawn()
        self._account.happened(Kind.SERVICE_REMOVED, "git no longer holds it")

    async def stop(self) -> None:
        """The platform is going down: what serves may finish."""
        async with self._turn:
            self._let_go_of_parked()
            if self.live is not None:
                self._departures.begin(self.live)

    async def settle(self) -> None:
        """Wait until everybody who was to go has gone."""
        await self._departures.settle()

    async def refuse(self, prefix: str, code: str, message: str) -> None:
        """Say why nobody serves, unless somebody does."""
        if self.live is not None:
            return
        before, self.prefix = self.prefix, prefix
        await self._traffic.refuse(prefix, self._account.name, code, message)
        if before != prefix:
            await self._traffic.remove(before)

    def refuse_soon(self, prefix: str, code: str, message: str) -> None:
        self._tell_soon(self.refuse(prefix, code, message))

    async def _turn_to(self, new: Live) -> Live | None:
        """Turn the traffic, and say who had it. Only the new crew is listened to from the first moment on."""
        old, self.live = self.live, new
        if old is not None:
            ignore(old.crew)
            self._traffic.drain(old.crew.workers)
            old.crew.stand_down()
        self._traffic.drained(new.crew.workers)
        self._attend(new)
        new.crew.take_over()
        self._account.serving, self._account.down = str(new), False
        before, self.prefix = self.prefix, new.recipe.prefix
        await self._traffic.point(self.prefix, new.crew)
        if before != self.prefix:
            await self._traffic.remove(before)
        self._cron.follow(new, self._account)
        return old

    # The time after a switch

    def _may_park(self, old: Live | None, window: float) -> bool:
        return old is not None and window > 0 and bool(old.crew.ready)

    def _park(self, new: Live, old: Live, window: float) -> None:
        old.crew.park()
        self._parked, self._window = old, window
        self._begin_to_watch(new, old)

    def _begin_to_watch(self, new: Live, old: Live) -> None:
        self._stop_watching()
        self._crashed.clear()
        self._watching = asyncio.create_task(self._watch(new, old))

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch(self, new: Live, old: Live) -> None:
        trouble = await watch(new.crew, await old.crew.answers(), self._window, self._crashed)
        async with self._turn:
            if self.live is not new or self._parked is not old:
                return
            self._parked = None
            if trouble is None or not old.crew.ready:
                self._departures.begin(old)
            else:
                await self._take_back(new, old, trouble)

    async def _take_back(self, bad: Live, good: Live, trouble: Stalled) -> None:
        """The previous release is ready: it has the traffic again before anybody has read why."""
        good.crew.resume()
        await self._write_down(bad, good, trouble)
        await self._turn_to(good)
        self.past = deque((past for past in self.past if past.release != good.release), PAST_KEPT)
        account = self._account
        account.trouble = trouble
        account.condemn(bad.ingredients.digest, trouble)
        account.rolled_back = f"{trouble.message}; {good.release} took the traffic back"
        account.applied = account.changed = good.recipe.revision
        account.tell()
        self._departures.begin(bad)
        account.happened(Kind.ROLLED_BACK, account.rolled_back, bad.release, data=given_back(bad, good))
        about = {"service": account.name, "release": good.release, "reason": trouble.reason}
        log.warning(account.rolled_back, extra=about)

    async def _write_down(self, bad: Live, good: Live, trouble: Stalled) -> None:
        """The truth first, as always; but a full disk is no reason to leave the traffic with what does not work."""
        at = datetime.now(UTC)
        write = partial(_write_rollback, service=self._account.name, bad=bad, good=good, why=trouble, at=at)
        try:
            await self._journal.write(write)
        except StoreUnusable:
            log.exception("a rollback could not be written down", extra={"service": self._account.name})

    def _let_go_of_parked(self) -> None:
        """Nobody goes back further than one release by himself."""
        self._stop_watching()
        parked, self._parked = self._parked, None
        if parked is not None:
            self._departures.begin(parked)

    # Workers that come and go

    def _attend(self, live: Live) -> None:
        live.crew.on_change = self._crew_changed
        self._crew_trouble.attend(live.crew)

    def _is_live(self, crew: Crew) -> bool:
        return self.live is not None and self.live.crew is crew

    def _crew_changed(self, crew: Crew) -> None:
        if not self._is_live(crew):
            return
        if crew.crashes:
            self._crashed.set()
        self._tell_soon(self._follow(crew))
        self._account.down = _is_down(crew)
        self._account.tell()

    async def _follow(self, crew: Crew) -> None:
        """Tell the gateway how the crew is by now; another may have got the traffic in the same turn of the loop."""
        if not self._is_live(crew):
            return
        if _is_down(crew):
            name = self._account.name
            await self._traffic.refuse(self.prefix, name, "crash_loop", f"{name} keeps crashing")
        else:
            await self._traffic.point(self.prefix, crew)

    def _tell_soon(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


def given_back(bad: Live, good: Live) -> dict[str, Any]:
    """From whom to whom, for those who are told."""
    return {
        "from": {"release": bad.release, "revision": bad.recipe.revision},
        "to": {"release": good.release, "revision": good.recipe.revision},
    }


def _is_down(crew: Crew) -> bool:
    return crew.crash_looping and not crew.ready


def _write_switch(entries: Transaction, *, service: ServiceName, new: Live, until: datetime | None) -> None:
    # Without its environment no next control can take it up; what was noted of that on the way may be lost.
    packages = dict(new.packages)
    entries.advance(new.release, Phase.SWITCHING, new.since, environment=new.environment, packages=packages)
    before = entries.switch(service, new.release, new.since)
    if before is not None and until is not None:
        entries.note_service(service, parked=before, watched_until=until)


def _write_rollback(
    entries: Transaction, *, service: ServiceName, bad: Live, good: Live, why: Stalled, at: datetime
) -> None:
    entries.switch(service, good.release, good.since)
    entries.fail(bad.release, why.reason, why.message, at, detail=why.detail)


def _write_going_back(
    entries: Transaction, *, service: ServiceName, good: Live, word: Word, attempted: str | None
) -> None:
    entries.switch(service, good.release, good.since)
    entries.note_service(service, attempted=attempted, held=word.held, held_digest=word.held_digest)
