"""The loop: a trigger says when; fetch, read, plan, apply, record say what.

It looks at the world afresh each time. Fetching and planning happen one sync at a time; applying happens
in the lanes, one per service, so that a slow service keeps nobody waiting and a newer commit finds the loop
awake.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from reconciler.control.attention import unhurried
from reconciler.control.boot import Returned
from reconciler.control.cron import Cron
from reconciler.control.deployment import Workshop
from reconciler.control.fleet import Fleet, Seen
from reconciler.control.lane import BUG, Lane
from reconciler.control.losses import check_losses
from reconciler.control.memory import Memory
from reconciler.control.order import Order, Work, dependency_not_ready, outcome_of
from reconciler.control.reading import Reader
from reconciler.control.record import Record, passed_by, state_of, told
from reconciler.control.stopwatch import Stopwatch
from reconciler.control.traffic import Traffic
from reconciler.control.triggers import Request, Triggers
from reconciler.control.wanted import Reading, Unfit, Wanted, Wish
from reconciler.model.failure import Failure, Reason, Stalled, Wait
from reconciler.model.names import Revision, ServiceName, SyncId
from reconciler.model.plan import Action, Verb, in_order
from reconciler.source.followed import Source
from reconciler.source.tree import Tree
from reconciler.store.insisting import insist
from reconciler.store.rows import SyncRow
from reconciler.worker.zygotes import Zygotes

log = logging.getLogger(__name__)


class Loop:
    def __init__(
        self, mirror: Source, reader: Reader, shop: Workshop, traffic: Traffic, zygotes: Zygotes, cron: Cron
    ) -> None:
        self.triggers = Triggers(lambda kind: shop.journal.begin_sync(kind, datetime.now(UTC)))
        self._mirror = mirror
        self._reader = reader
        self._shop = shop
        self._traffic = traffic
        self._fleet = Fleet(shop, traffic, zygotes, cron, self._ask_to_retry, self._spawn)
        self._record = Record(shop.journal, shop.feed, lambda: self.seen, self._spawn)
        self.lanes = self._fleet.lanes
        self.first_sync_finished = self._record.first_sync_finished
        self._concluding: set[asyncio.Task[None]] = set()
        self._under_way: set[SyncId] = set()
        cron.give_way(lambda: bool(self._under_way) or self.triggers.is_asked)

    @property
    def seen(self) -> Seen:
        return self._fleet.seen

    @property
    def last_sync(self) -> SyncRow | None:
        return self._record.last_sync

    def where(self, service: str) -> str | None:
        """The path at which it answers; None for one that is not here."""
        lane = self.lanes.get(ServiceName(service))
        return f"{lane.stage.prefix}/" if lane is not None else None

    def restore(self, returned: Iterable[Returned], memories: dict[ServiceName, Memory], applied: str | None) -> None:
        """Begin with what a former control left running, and what it knew."""
        self._fleet.restore(returned, memories, applied)

    async def drain(self) -> None:
        """Let everything that serves finish, and throw away what was being tried."""
        await self._fleet.drain()

    def source_failed(self, failure: Failure) -> None:
        """Told by the poll: git cannot be asked at the moment."""
        self._fleet.source_failed(failure)

    def reconsider(self, name: ServiceName) -> None:
        """Look at this service again in the next sync, although git may not have changed it."""
        self._fleet.reconsider(name)

    async def run(self) -> None:
        while True:
            request = await self.triggers.next()
            watch = Stopwatch()
            self._under_way.add(request.sync)
            self._record.began(request)
            try:
                await self.sync(request, watch)
            except Failure as failure:
                await self._give_up(request, failure, watch)
            except Exception as bug:
                log.exception("a bug stopped a sync", extra={"sync": request.sync})
                await self._give_up(request, bug, watch)

    async def sync(self, request: Request, watch: Stopwatch) -> None:
        """Fetch, read, plan, apply, record."""
        with watch.phase("fetch"):
            revision = await self._mirror.fetch()
        self._fleet.seen = Seen(str(revision), self.seen.applied, None, self.seen.reading)
        try:
            reading = await self._look_at(revision, watch)
        except Stalled as stalled:
            # Nothing of this commit can be followed, and that is what became of it.
            self._note(request, revision)
            await self._give_up(request, stalled, watch, revision)
            return
        with watch.phase("plan"):
            if request.retry:
                await self._fleet.forgive()
            actions = await self._fleet.plan(reading)
        self._note(request, revision)
        self._record.planned(request, reading, actions)
        await self._fleet.announce(actions, reading)
        await self._traffic.know(reading.mount)
        work = await self._apply(actions, reading, request)
        self._later(request.sync, self._conclude(request, reading, actions, work, watch))

    async def _look_at(self, revision: Revision, watch: Stopwatch) -> Reading:
        """What the commit asks for, if it may be followed."""
        await self._mirror.judge(revision.sha, keep=True)
        with watch.phase("read"):
            tree = self._mirror.tree(revision.sha)
            await self._shop.store.retry()
            reading = await asyncio.to_thread(self._read, tree, revision)
            self._fleet.met(reading)
            check_losses(reading, self.lanes)
            # Before any thought about it: whoever finishes something meanwhile asks whether that is still wanted.
            self._fleet.seen = Seen(str(revision), self.seen.applied, None, reading)
        return reading

    def _note(self, request: Request, revision: Revision) -> None:
        """Which commit this sync is about."""
        self._shop.journal.later(lambda entries: entries.record_revision(request.sync, revision))
        self._shop.commits.note(revision.sha)

    def _read(self, tree: Tree, revision: Revision) -> Reading:
        """What git asks for, and in which versions there are the secrets that it names."""
        return self._shop.secrets.complete(self._reader.read(tree, revision))

    async def _apply(self, actions: tuple[Action, ...], reading: Reading, request: Request) -> dict[ServiceName, Work]:
        needs = {
            action.service: wish.manifest.depends_on
            for action in actions
            if isinstance(wish := reading.wishes.get(action.service), Wanted)
        }
        work: dict[ServiceName, Work] = {}
        async for action in unhurried(in_order(actions, needs)):
            if (task := self._act(action, reading, request, work)) is not None:
                work[action.service] = task
                task.add_done_callback(partial(self._tell_end, action, request))
        return work

    def _tell_end(self, action: Action, request: Request, work: Work) -> None:
        self._record.acted(action, request, outcome_of(work), self.lanes.get(action.service))

    def _act(self, action: Action, reading: Reading, request: Request, work: Mapping[ServiceName, Work]) -> Work | None:
        lane = self.lanes.get(action.service)
        if lane is None:
            return None
        wish, revision = reading.wishes.get(action.service), str(reading.revision)
        if action.verb is Verb.REMOVE:
            return lane.remove(request.sync)
        begins = action.verb in (Verb.START, Verb.REPLACE) and lane.account.word.suspended is None
        if begins and isinstance(wish, Wanted):
            return self._begin(lane, wish, reading, request, work)
        if action.verb is Verb.KEEP:
            lane.keep(revision, request.sync)
        else:
            suspended = isinstance(wish, Wanted) and wish.manifest.suspend
            again = isinstance(wish, Unfit) and wish.may_pass
            lane.hold(revision, _why_held(lane, wish), request.sync, suspended=suspended, look_again=again)
            if wish is not None:
                lane.unserved(wish.prefix)
        self._fleet.settle(lane)
        return None

    def _begin(
        self, lane: Lane, wish: Wanted, reading: Reading, request: Request, work: Mapping[ServiceName, Work]
    ) -> Work | None:
        if lane.is_waiting_for(wish.ingredients.digest) and not request.retry:
            return None
        needed = [ServiceName(name) for name in wish.manifest.depends_on]
        missing = next(
            (name for name in needed if name not in work and not self._fleet.follows_git(name, reading)), None
        )
        if missing is not None:
            lane.hold(str(reading.revision), dependency_not_ready(missing), request.sync)
            return None
        after = [(name, work[name]) for name in needed if name in work]
        open_tree = partial(self._mirror.tree, reading.revision.sha)
        return lane.pursue(Order(wish, open_tree, request.sync, after))

    def _later(self, sync: SyncId, conclusion: Coroutine[object, object, None]) -> None:
        """The loop goes on; this sync is finished when its lanes are."""
        task = asyncio.create_task(conclusion)
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)
        task.add_done_callback(lambda _: self._under_way.discard(sync))

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
        outcomes = {name: outcome_of(task) for name, task in work.items()}
        watch.phases.extend(phase for outcome in outcomes.values() for phase in outcome.phases)
        async for name in unhurried(work):
            self._fleet.look_back(name)
        if any(outcome.state == "done" for outcome in outcomes.values()):
            self._fleet.wake_dependents(frozenset(outcomes))
        actions_told = tuple(
            [
                told(action, outcomes.get(action.service) or self._fleet.left_undone(action))
                async for action in unhurried(actions)
                if action.verb is not Verb.KEEP
            ]
        )
        state = state_of(actions_told, meant={action.service for action in actions if action.meant})
        if state == "done" and self._record.is_newest(request) and not await self._fleet.is_any_behind(work):
            self._fleet.seen = replace(self.seen, applied=str(reading.revision))
        kept = len(reading.wishes) - sum(1 for one in actions_told if one.service in reading.wishes)
        await self._record.finish(
            request,
            state,
            watch,
            revision=str(reading.revision),
            message=passed_by(reading),
            actions=actions_told,
            kept=kept,
        )
        await self._fleet.upkeep.tidy(work.keys())

    async def _give_up(
        self, request: Request, failure: Exception, watch: Stopwatch, revision: Revision | None = None
    ) -> None:
        """Nothing could be followed: everything keeps running, and says so. An error is never a deletion."""
        foreseen = failure if isinstance(failure, Failure) else Wait(Reason.SOURCE_UNAVAILABLE, BUG)
        self.source_failed(foreseen)
        log.warning(foreseen.message, extra={"reason": foreseen.reason, "sync": request.sync})
        self._under_way.discard(request.sync)
        about = str(revision) if revision is not None else None
        await self._record.finish(
            request, "failed", watch, revision=about, message=foreseen.message, kept=len(self.lanes)
        )

    def _ask_to_retry(self) -> None:
        self._spawn(self._retry())

    async def _retry(self) -> None:
        await insist(lambda: self.triggers.ask("retry", "reconciler"), "another try has to wait for the journal")

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)


def _why_held(lane: Lane, wish: Wish | None) -> Failure | None:
    if isinstance(wish, Unfit):
        return wish.failure
    return lane.account.failed.get(wish.ingredients.digest) if wish is not None else None
