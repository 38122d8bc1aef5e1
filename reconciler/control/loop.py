"""The loop: a trigger says when; fetch, read, plan, apply, record say what.

It looks at the world afresh each time. Fetching and planning happen one sync at a time; applying happens
in the lanes, one per service, so that a slow service keeps nobody waiting and a newer commit finds the loop
awake.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from reconciler.control.deployment import Workshop
from reconciler.control.lane import BUG, Lane, Order, Outcome, Work
from reconciler.control.live import Live, Past
from reconciler.control.reading import Reader
from reconciler.control.stopwatch import Stopwatch
from reconciler.control.traffic import Traffic
from reconciler.control.triggers import Request, Triggers
from reconciler.control.upkeep import Upkeep
from reconciler.control.wanted import Reading, Unfit, Wanted, Wish
from reconciler.model.failure import Failure, Reason, Stalled, Wait
from reconciler.model.names import Digest, ServiceName
from reconciler.model.plan import Action, Verb, in_order, plan
from reconciler.model.status import ActionStatus
from reconciler.model.verdict import Report
from reconciler.model.word import SILENT, Word
from reconciler.source.mirror import Mirror
from reconciler.store.rows import SyncRow
from reconciler.worker.zygote import Zygotes

log = logging.getLogger(__name__)


Failed = dict[ServiceName, Mapping[Digest, Failure]]
"""By service, the digests that were tried in vain, and why."""

Words = dict[ServiceName, Word]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the loop knows of git: what it tried to follow, and what it could."""

    attempted: str | None = None
    applied: str | None = None
    trouble: Failure | None = None
    reading: Reading | None = None


class Loop:
    def __init__(self, mirror: Mirror, reader: Reader, shop: Workshop, traffic: Traffic, zygotes: Zygotes) -> None:
        self.lanes: dict[ServiceName, Lane] = {}
        self.seen = Seen()
        self.triggers = Triggers(lambda kind: shop.journal.begin_sync(kind, datetime.now(UTC)))
        self.first_sync_finished = asyncio.Event()
        self.last_sync: SyncRow | None = None
        self._mirror = mirror
        self._reader = reader
        self._shop = shop
        self._traffic = traffic
        self._journal = shop.journal
        self._upkeep = Upkeep(shop, zygotes, lambda: (*self.lanes.values(), *self._departing))
        self._failed_before: Failed = {}
        self._words_before: Words = {}
        self._unsettled: set[ServiceName] = set()
        self._departing: set[Lane] = set()
        self._concluding: set[asyncio.Task[None]] = set()

    def restore(
        self, returned: Iterable[tuple[Live, Iterable[Past], Report | None]], failed: Failed, words: Words
    ) -> None:
        """Begin with what a former control left running, what it had tried in vain, and what people had said."""
        self._failed_before, self._words_before = failed, words
        for live, past, report in returned:
            lane = self._lane(live.recipe.service, live.recipe.prefix)
            lane.account.report = report
            lane.stage.restore(live, past)

    async def drain(self) -> None:
        """Let everything that serves finish, and throw away what was being tried."""
        lanes = [*self.lanes.values(), *self._departing]
        for lane in lanes:
            lane.stop()
        await asyncio.gather(*(lane.settle() for lane in lanes))

    def source_failed(self, failure: Failure) -> None:
        """Told by the poll: git cannot be asked at the moment."""
        self.seen = replace(self.seen, trouble=failure)

    def reconsider(self, name: ServiceName) -> None:
        """Look at this service again in the next sync, although git may not have changed it."""
        self._unsettled.add(name)

    async def run(self) -> None:
        while True:
            request = await self.triggers.next()
            watch = Stopwatch()
            self._began(request)
            try:
                await self.sync(request, watch)
            except Failure as failure:
                await self._give_up(request, failure, watch)
            except Exception as bug:
                log.exception("a bug stopped a sync")
                await self._give_up(request, bug, watch)

    def _began(self, request: Request) -> None:
        at = datetime.now(UTC)
        self._journal.later(lambda entries: entries.start_sync(request.sync, at))

    async def sync(self, request: Request, watch: Stopwatch) -> None:
        """Fetch, read, plan, apply, record."""
        with watch.phase("fetch"):
            revision = await self._mirror.fetch()
        self.seen = Seen(str(revision), self.seen.applied, None, self.seen.reading)
        with watch.phase("read"):
            tree = self._mirror.tree(revision.sha)
            reading = await asyncio.to_thread(self._reader.read, tree, revision)
        with watch.phase("plan"):
            if request.retry:
                await self._forgive()
            actions = self._plan(reading)
        self.seen = Seen(str(revision), self.seen.applied, None, reading)
        self._journal.later(lambda entries: entries.record_revision(request.sync, revision))
        await self._traffic.know(reading.mount)
        work = await self._apply(actions, reading, request)
        self._conclude_later(request, reading, actions, work, watch)

    def _plan(self, reading: Reading) -> tuple[Action, ...]:
        """Only what changed, and what is not yet as it should be, costs any thought."""
        names = reading.changed | (self._unsettled & (reading.wishes.keys() | self.lanes.keys()))
        if not reading.wishes and self.lanes and not reading.allow_empty:
            raise empty_listing(len(self.lanes))
        desired = {name: reading.wishes[name].desired() for name in names if name in reading.wishes}
        running = {name: self.lanes[name].running() for name in names if name in self.lanes}
        return plan(desired, running)

    async def _apply(self, actions: tuple[Action, ...], reading: Reading, request: Request) -> dict[ServiceName, Work]:
        await self._announce(actions, reading)
        needs = {
            action.service: wish.manifest.depends_on
            for action in actions
            if isinstance(wish := reading.wishes.get(action.service), Wanted)
        }
        work: dict[ServiceName, Work] = {}
        for action in in_order(actions, needs):
            if (task := self._act(action, reading, request, work)) is not None:
                work[action.service] = task
        return work

    async def _announce(self, actions: tuple[Action, ...], reading: Reading) -> None:
        """Give every new service its lane, and the gateway all their names at once."""
        unknown = {}
        for action in actions:
            if action.service not in self.lanes and action.service in reading.wishes:
                prefix = reading.wishes[action.service].prefix
                self._lane(action.service, prefix)
                unknown[prefix] = action.service
        await self._traffic.introduce(unknown)

    def _lane(self, name: ServiceName, prefix: str) -> Lane:
        lane = self.lanes[name] = Lane(name, prefix, self._shop, self._traffic, self._ask_to_retry)
        lane.account.failed = dict(self._failed_before.pop(name, {}))
        lane.account.word = self._words_before.pop(name, SILENT)
        return lane

    def _act(self, action: Action, reading: Reading, request: Request, work: Mapping[ServiceName, Work]) -> Work | None:
        lane = self.lanes.get(action.service)
        if lane is None:
            return None
        wish, revision = reading.wishes.get(action.service), str(reading.revision)
        begins = action.verb in (Verb.START, Verb.REPLACE) and lane.account.word.suspended is None
        if begins and isinstance(wish, Wanted):
            self._unsettled.add(action.service)
            after = [(name, work[name]) for name in map(ServiceName, wish.manifest.depends_on) if name in work]
            open_tree = partial(self._mirror.tree, reading.revision.sha)
            return lane.pursue(Order(wish, open_tree, request.sync, after))
        if action.verb is Verb.REMOVE:
            self._unsettled.discard(action.service)
            return lane.remove()
        if action.verb is Verb.KEEP:
            self._unsettled.discard(action.service)
            lane.keep(revision)
            return None
        lane.hold(revision, _why_held(lane, wish), suspended=isinstance(wish, Wanted) and wish.manifest.suspend)
        return None

    def _conclude_later(
        self,
        request: Request,
        reading: Reading,
        actions: tuple[Action, ...],
        work: Mapping[ServiceName, Work],
        watch: Stopwatch,
    ) -> None:
        """The loop goes on; this sync is finished when its lanes are."""
        task = asyncio.create_task(self._conclude(request, reading, actions, work, watch))
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)

    async def _conclude(
        self,
        request: Request,
        reading: Reading,
        actions: tuple[Action, ...],
        work: Mapping[ServiceName, Work],
        watch: Stopwatch,
    ) -> None:
        with watch.phase("apply"):
            if work:
                await asyncio.wait(work.values())
        outcomes = {name: task.result() for name, task in work.items()}
        for name, outcome in outcomes.items():
            if outcome.state == "done":
                self._unsettled.discard(name)
            if name not in reading.wishes and not self.lanes[name].busy:
                self._depart(self.lanes.pop(name))
        told = tuple(_told(action, outcomes.get(action.service)) for action in actions if action.verb is not Verb.KEEP)
        state = _state(told, meant={action.service for action in actions if action.meant})
        if state == "done":
            self.seen = replace(self.seen, applied=str(reading.revision))
        kept = len(reading.wishes) - sum(1 for one in told if one.service in reading.wishes)
        await self._finish(request, state, watch, actions=told, kept=kept)
        await self._upkeep.tidy(work.keys())

    async def _give_up(self, request: Request, failure: Exception, watch: Stopwatch) -> None:
        """Nothing could be followed: everything keeps running, and says so. An error is never a deletion."""
        foreseen = failure if isinstance(failure, Failure) else Wait(Reason.SOURCE_UNAVAILABLE, BUG)
        self.seen = replace(self.seen, trouble=foreseen)
        log.warning(foreseen.message, extra={"reason": foreseen.reason})
        await self._finish(request, "failed", watch, message=foreseen.message, kept=len(self.lanes))

    async def _finish(
        self,
        request: Request,
        state: Literal["done", "failed", "superseded"],
        watch: Stopwatch,
        *,
        message: str | None = None,
        actions: tuple[ActionStatus, ...] = (),
        kept: int = 0,
    ) -> None:
        await self._journal.finish_sync(
            request.sync,
            state,
            datetime.now(UTC),
            message=message,
            actions=[one.model_dump(mode="json") for one in actions],
            kept=kept,
            phases=[phase.model_dump(mode="json") for phase in watch.phases],
        )
        row = await self._journal.sync(request.sync)
        self.last_sync = row
        self.first_sync_finished.set()

    def _depart(self, lane: Lane) -> None:
        """It is no service any more, and its last worker may still be finishing something."""
        self._departing.add(lane)
        task = asyncio.create_task(lane.settle())
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)
        task.add_done_callback(lambda _: self._departing.discard(lane))

    async def _forgive(self) -> None:
        await self._journal.forgive()
        for lane in self.lanes.values():
            lane.account.failed.clear()
        self._failed_before.clear()

    def _ask_to_retry(self) -> None:
        task = asyncio.create_task(self._retry())
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)

    async def _retry(self) -> None:
        await self.triggers.ask("retry", "reconciler")


def _why_held(lane: Lane, wish: Wish | None) -> Failure | None:
    if isinstance(wish, Unfit):
        return wish.failure
    return lane.account.failed.get(wish.ingredients.digest) if wish is not None else None


def empty_listing(running: int) -> Stalled:
    return Stalled(
        Reason.SOURCE_UNAVAILABLE,
        f"this revision holds no services although {running} run; set `prune: {{allow_empty: true}}` if that is meant",
    )


def _told(action: Action, outcome: Outcome | None) -> ActionStatus:
    failure = outcome.failure if outcome else None
    return ActionStatus(
        service=action.service,
        verb=action.verb.value,
        why=action.why,
        outcome=outcome.state if outcome else "done",
        reason=failure.reason if failure else None,
        message=failure.message if failure else None,
    )


def _state(told: tuple[ActionStatus, ...], meant: Collection[ServiceName]) -> Literal["done", "failed", "superseded"]:
    if any(one.outcome == "failed" or (one.verb == "hold" and one.service not in meant) for one in told):
        return "failed"
    return "superseded" if any(one.outcome == "superseded" for one in told) else "done"
