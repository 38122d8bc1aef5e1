"""One service: what serves, what is being tried, and how it stands.

Changes to one service happen in order, whatever happens to the others. This is the edge at which a failure
becomes a condition, an event and perhaps another try; a bug is logged whole and harms this service only.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from reconciler.control.deployment import Candidate, Deployment, Workshop
from reconciler.control.recipe import Recipe
from reconciler.control.traffic import Traffic
from reconciler.control.wanted import Wanted
from reconciler.control.watch import watch
from reconciler.model.digest import Ingredients
from reconciler.model.failure import Failure, Reason, Stalled, Wait
from reconciler.model.names import Digest, EnvironmentId, ReleaseId, ServiceName, SyncId
from reconciler.model.plan import Running
from reconciler.model.standing import Standing, conditions
from reconciler.model.status import Condition
from reconciler.model.verdict import Report
from reconciler.source.tree import Tree
from reconciler.store.journal import Transaction
from reconciler.store.rows import EventRow, Phase
from reconciler.worker.crew import CRASH_WINDOW, Crew, crash_loop

log = logging.getLogger(__name__)

BUG = "the reconciler itself failed; its log says how"
FIRST_RETRY = 1.0
LONGEST_RETRY = 300.0
EVENTS = 20
PAST_KEPT = 2
"""How many releases a service can go back to."""


@dataclass(frozen=True, slots=True)
class Live:
    release: ReleaseId
    ingredients: Ingredients
    recipe: Recipe
    environment: EnvironmentId
    packages: Mapping[str, str]
    crew: Crew
    created_at: datetime
    since: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    state: Literal["done", "failed", "superseded"]
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """A release that was live once and could be again: its folder and its environment are kept."""

    release: ReleaseId
    environment: EnvironmentId


DONE = Outcome("done")
SUPERSEDED = Outcome("superseded")


class Lane:
    def __init__(self, name: ServiceName, prefix: str, shop: Workshop, traffic: Traffic, retry: Callable[[], None]):
        self.name = name
        self.prefix = prefix
        self.live: Live | None = None
        self.candidate: ReleaseId | None = None
        self.report: Report | None = None
        """What a suite concluded last, about the candidate or the live release."""
        self.conditions: tuple[Condition, ...] = ()
        self.trouble: Failure | None = None
        self.attempted: str | None = None
        self.applied: str | None = None
        self.changed: str | None = None
        self.failed: dict[Digest, Failure] = {}
        """What was tried in vain, and why; not tried again until somebody asks."""
        self.suspended = False
        self.rolled_back: str | None = None
        self.past: deque[Past] = deque(maxlen=PAST_KEPT)
        """Live before the one that is, the newest last."""
        self.events: deque[EventRow] = deque(maxlen=EVENTS)
        """The last that happened, oldest first."""
        self._syncing: str | None = None
        self._shop = shop
        self._traffic = traffic
        self._retry = retry
        self._retries = 0
        self._retry_at: asyncio.TimerHandle | None = None
        self._aim: Digest | None = None
        self._work: asyncio.Task[Outcome] | None = None
        self._switching = False
        self._turn = asyncio.Lock()
        """Held by whoever changes which release is live."""
        self._parked: Live | None = None
        self._watching: asyncio.Task[None] | None = None
        self._crashed = asyncio.Event()
        self._behind: set[asyncio.Task[None]] = set()
        self.tell()

    # What the plan and the status ask

    def running(self) -> Running:
        return Running(self.live.ingredients if self.live else None, frozenset(self.failed))

    @property
    def busy(self) -> bool:
        return self._work is not None and not self._work.done()

    @property
    def needed(self) -> set[ReleaseId]:
        """Releases whose folders must stay."""
        now = (self.candidate, self.live.release if self.live else None)
        return {past.release for past in self.past} | {release for release in now if release is not None}

    @property
    def environments(self) -> set[EnvironmentId]:
        return {past.environment for past in self.past} | ({self.live.environment} if self.live else set())

    def tell(self) -> None:
        """Say anew how the service stands."""
        standing = Standing(self._serving(), self._syncing, self.trouble, self.suspended, self.rolled_back)
        self.conditions = conditions(standing, self.conditions, datetime.now(UTC))

    def _serving(self) -> str | None:
        if self.live is None:
            return None
        branch, _, sha = self.live.recipe.revision.partition("@sha1:")
        return f"{self.live.release} of {branch}@{sha[:8]}"

    # What a sync asks for

    def keep(self, revision: str) -> None:
        """What serves is what git asks for."""
        self._abandon()
        self.attempted = self.applied = revision
        self.rolled_back = None
        if not isinstance(self.trouble, Stalled) or self.trouble.reason is not Reason.CRASH_LOOP:
            self.trouble = None
        self.suspended = False
        self.tell()

    def hold(self, revision: str, failure: Failure | None, *, suspended: bool = False) -> None:
        """Leave things as they are, and say why."""
        self._abandon()
        self.attempted = revision
        self.trouble = failure or self.trouble
        self.suspended = suspended
        if suspended:
            self.trouble = None
        self.tell()

    def pursue(self, wanted: Wanted, open_tree: Callable[[], Tree], sync: SyncId) -> "asyncio.Task[Outcome]":
        """Make this digest live. A candidate of another digest has become pointless and is thrown away."""
        digest = wanted.ingredients.digest
        if self._work is not None and self.busy and self._aim == digest:
            return self._work
        before = self._abandon()
        self._aim = digest
        self.suspended = False
        self.attempted = str(wanted.revision)
        self._work = asyncio.create_task(self._attempt(wanted, open_tree, sync, before))
        return self._work

    def remove(self) -> "asyncio.Task[Outcome]":
        before = self._abandon()
        self._aim = None
        self._work = asyncio.create_task(self._remove(before))
        return self._work

    async def settle(self) -> None:
        """Wait for whatever is under way here, retirements included."""
        work = [task for task in (self._work, *self._behind) if task is not None]
        if work:
            await asyncio.wait(work)

    def stop(self) -> None:
        """The platform is going down: drain what serves, throw away what was being tried."""
        self._abandon()
        self._let_go_of_parked()
        if self.live is not None:
            self._retire(self.live.crew)

    # Restoring what a former control left

    def restore(self, live: Live, past: Iterable[Past]) -> None:
        self.live = live
        self.past.extend(past)
        self.changed = live.recipe.revision
        self._attend(live.crew)
        self.tell()

    # The work itself

    def _abandon(self) -> "asyncio.Task[Outcome] | None":
        """Cancel what is under way, unless it is already switching: that is finished first."""
        if self._retry_at is not None:
            self._retry_at.cancel()
        if self._work is None or self._work.done():
            return None
        if not self._switching:
            self._work.cancel()
        return self._work

    async def _attempt(
        self, wanted: Wanted, open_tree: Callable[[], Tree], sync: SyncId, before: "asyncio.Task[Outcome] | None"
    ) -> Outcome:
        try:
            if before is not None:
                await asyncio.wait([before])
            return await self._deploy(wanted, open_tree, sync)
        except asyncio.CancelledError:
            return SUPERSEDED
        except Failure as failure:
            return self._failed(wanted, failure)
        except OSError as error:
            return self._failed(wanted, Wait(Reason.START_FAILED, f"the machine refused: {error.strerror or error}"))
        except Exception:
            log.exception("a bug stopped a deployment", extra={"service": self.name})
            return self._failed(wanted, Wait(Reason.START_FAILED, BUG))
        finally:
            self._syncing = self.candidate = None
            self.tell()

    async def _deploy(self, wanted: Wanted, open_tree: Callable[[], Tree], sync: SyncId) -> Outcome:
        self.say("preparing")
        if self.live is None:
            await self._traffic.refuse(wanted.prefix, self.name, "starting", f"{self.name} is starting")
        deployment = Deployment(self._shop, wanted, open_tree, sync, self)
        try:
            candidate = await deployment.prove()
            await self._switch_whole(wanted, candidate)
        finally:
            deployment.close()
        return DONE

    async def _switch_whole(self, wanted: Wanted, candidate: Candidate) -> None:
        """Half a switch is none: whoever cancels now waits for it."""
        self._switching = True
        switch = asyncio.create_task(self._switch(wanted, candidate))
        try:
            await asyncio.shield(switch)
        except asyncio.CancelledError:
            await asyncio.wait([switch])
            switch.result()
        finally:
            self._switching = False

    async def _switch(self, wanted: Wanted, candidate: Candidate) -> None:
        """Write the truth, turn the traffic, let the old finish; in this order."""
        async with self._turn:
            now = datetime.now(UTC)
            await self._shop.journal.switch(self.name, candidate.release, now)
            new = Live(
                candidate.release,
                wanted.ingredients,
                candidate.recipe,
                candidate.lock.id,
                candidate.lock.packages,
                candidate.crew,
                now,
                now,
            )
            old = await self._turn_to(new)
            self.trouble = self.rolled_back = None
            self._retries = 0
            self.applied = self.changed = str(wanted.revision)
            self._let_go_of_parked()
            if old is not None:
                self.past.append(Past(old.release, old.environment))
                self._watch_or_retire(new, old, wanted.manifest.watch_window)
        self._happened("ReleaseSwitched", f"{self._serving()} serves", candidate.release)
        log.info("live", extra={"service": self.name, "release": candidate.release, "revision": wanted.revision.short})

    async def _turn_to(self, new: Live) -> Live | None:
        """Turn the traffic, and say who had it."""
        old = self.live
        if old is not None:
            self._traffic.drain(old.crew.workers)
        self._traffic.drained(new.crew.workers)
        await self._traffic.point(new.recipe.prefix, new.crew)
        self.live = new
        self._attend(new.crew)
        if self.prefix != new.recipe.prefix:
            await self._traffic.remove(self.prefix)
            self.prefix = new.recipe.prefix
        return old

    def _failed(self, wanted: Wanted, failure: Failure) -> Outcome:
        self.trouble = failure
        if isinstance(failure, Stalled):
            self.failed[wanted.ingredients.digest] = failure
        elif failure.reason is not Reason.SUPERSEDED:
            self._try_again(failure)
        log.warning(failure.message, extra={"service": self.name, "reason": failure.reason})
        self._happened("ReleaseFailed", f"{failure.reason}: {failure.message}", self.candidate)
        if self.live is None:
            self._soon(self._traffic.refuse(wanted.prefix, self.name, "failed", f"{self.name} could not be started"))
        return Outcome("failed", failure)

    def _try_again(self, failure: Failure) -> None:
        pause = min(FIRST_RETRY * 2**self._retries, LONGEST_RETRY)
        if isinstance(failure, Wait) and failure.after is not None:
            pause = failure.after
        self._retries += 1
        # Jitter, so that services that failed together do not come back together.
        pause *= random.uniform(0.9, 1.1)  # noqa: S311
        self._retry_at = asyncio.get_running_loop().call_later(pause, self._retry)

    # The time after a switch

    def _watch_or_retire(self, new: Live, old: Live, window: float) -> None:
        if window <= 0 or not old.crew.ready:
            self._retire(old.crew)
            return
        old.crew.on_change = old.crew.on_crash_loop = lambda _crew: None
        old.crew.park()
        self._parked = old
        self._crashed.clear()
        self._watching = asyncio.create_task(self._watch(new, old, window))

    async def _watch(self, new: Live, old: Live, window: float) -> None:
        trouble = await watch(new.crew, await old.crew.answers(), window, self._crashed)
        async with self._turn:
            if self.live is not new or self._parked is not old:
                return
            self._parked = None
            if trouble is None:
                self._retire(old.crew)
            else:
                await self._take_back(new, old, trouble)

    async def _take_back(self, bad: Live, good: Live, trouble: Stalled) -> None:
        """The previous release is ready: it has the traffic again before anybody has read why."""
        good.crew.resume()
        await self._turn_to(good)
        self.trouble = self.failed[bad.ingredients.digest] = trouble
        self.rolled_back = f"{trouble.message}; {good.release} took the traffic back"
        self.changed = good.recipe.revision
        self.past = deque((past for past in self.past if past.release != good.release), PAST_KEPT)
        at = datetime.now(UTC)
        await self._shop.journal.write(
            partial(_write_rollback, service=self.name, bad=bad, good=good, why=trouble, at=at)
        )
        self._retire(bad.crew)
        self._happened("RolledBack", self.rolled_back, bad.release)
        log.warning(self.rolled_back, extra={"service": self.name, "reason": trouble.reason})
        self.tell()

    def _let_go_of_parked(self) -> None:
        """Nobody goes back further than one release by himself."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        parked, self._parked = self._parked, None
        if parked is not None:
            self._retire(parked.crew)

    async def _remove(self, before: "asyncio.Task[Outcome] | None") -> Outcome:
        if before is not None:
            await asyncio.wait([before])
        self._let_go_of_parked()
        live, self.live = self.live, None
        await self._shop.journal.forget(self.name, datetime.now(UTC))
        if live is not None:
            self._traffic.drain(live.crew.workers)
        await self._traffic.remove(self.prefix)
        if live is not None:
            self._retire(live.crew)
        self._happened("ServiceRemoved", "git no longer holds it")
        log.info("removed", extra={"service": self.name})
        return DONE

    def _retire(self, crew: Crew) -> None:
        crew.on_change = crew.on_crash_loop = lambda _crew: None
        self._soon(self._drain(crew))

    async def _drain(self, crew: Crew) -> None:
        workers = await crew.retire()
        self._traffic.drained(workers)
        release = crew.spec.release
        self._shop.journal.later(lambda entries: entries.advance(release, Phase.RETIRED, datetime.now(UTC)))
        cut = [worker for worker in workers if worker.cut.total]
        for worker in cut:
            log.warning("the drain cut what was not finished", extra={"worker": worker.id, "cut": str(worker.cut)})

    # Workers that come and go

    def _attend(self, crew: Crew) -> None:
        crew.on_change = self._crew_changed
        crew.on_crash_loop = self._crash_looped

    def _crew_changed(self, crew: Crew) -> None:
        if crew.crashes:
            self._crashed.set()
        if crew.crash_looping and not crew.ready:
            self._soon(self._traffic.refuse(self.prefix, self.name, "crash_loop", f"{self.name} keeps crashing"))
        else:
            self._soon(self._traffic.point(self.prefix, crew))
        self.tell()

    def _crash_looped(self, crew: Crew) -> None:
        self.trouble = crash_loop(crew)
        self._happened("CrashLooped", self.trouble.message, crew.spec.release)
        asyncio.get_running_loop().call_later(CRASH_WINDOW, self._calm_again, crew)
        self.tell()

    def _calm_again(self, crew: Crew) -> None:
        """A crew that has stopped crashing is well again; nobody has to say so."""
        if self.live is None or self.live.crew is not crew or crew.crash_looping or self.trouble is None:
            return
        if self.trouble.reason is Reason.CRASH_LOOP:
            self.trouble = None
            self.tell()

    def _happened(self, kind: str, message: str, release: ReleaseId | None = None) -> None:
        self._soon(self._record(kind, message, release))

    async def _record(self, kind: str, message: str, release: ReleaseId | None) -> None:
        at = datetime.now(UTC)
        number = await self._shop.journal.event(kind, message, self.name, release, at=at)
        self.events.append(EventRow(id=number, at=at, kind=kind, service=self.name, release=release, message=message))

    def say(self, phase: str) -> None:
        """What is being done at the moment, for whoever watches."""
        self._syncing = phase
        self.tell()
        log.info(phase, extra={"service": self.name})

    def _soon(self, work: Coroutine[object, object, None]) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)


def _write_rollback(
    entries: Transaction, *, service: ServiceName, bad: Live, good: Live, why: Stalled, at: datetime
) -> None:
    entries.switch(service, good.release, at)
    entries.fail(bad.release, why.reason, why.message, at, detail=why.detail)
