"""The loop: a trigger says when; fetch, read, plan, apply, record say what.

It looks at the world afresh each time. Fetching and planning happen one sync at a time; applying happens
in the lanes, one per service, so that a slow service keeps nobody waiting and a newer commit finds the loop
awake.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from reconciler.control.attention import unhurried
from reconciler.control.boot import Returned
from reconciler.control.cron import Cron
from reconciler.control.deployment import Workshop
from reconciler.control.lane import BUG, Lane, Order, Outcome, Work, dependency_not_ready, outcome_of
from reconciler.control.losses import check_losses
from reconciler.control.memory import NOTHING, Memory
from reconciler.control.reading import Reader
from reconciler.control.stopwatch import Stopwatch, in_seconds
from reconciler.control.traffic import Traffic
from reconciler.control.triggers import Request, Triggers
from reconciler.control.upkeep import Upkeep
from reconciler.control.wanted import Reading, Unfit, Wanted, Wish
from reconciler.model.failure import Failure, Reason, Wait
from reconciler.model.names import Revision, ServiceName, SyncId
from reconciler.model.notice import Kind
from reconciler.model.plan import Action, Running, Verb, decide, in_order, plan
from reconciler.model.status import ActionStatus
from reconciler.source.followed import Source
from reconciler.source.tree import Tree
from reconciler.store.journal import Transaction
from reconciler.store.rows import SyncRow
from reconciler.store.unusable import StoreUnusable
from reconciler.worker.zygote import Zygotes

log = logging.getLogger(__name__)

STORE_RETRY = 5.0
MISNAMED_TOLD = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What the loop knows of git: what it tried to follow, and what it could."""

    attempted: str | None = None
    applied: str | None = None
    trouble: Failure | None = None
    reading: Reading | None = None


class Loop:
    def __init__(
        self, mirror: Source, reader: Reader, shop: Workshop, traffic: Traffic, zygotes: Zygotes, cron: Cron
    ) -> None:
        self.lanes: dict[ServiceName, Lane] = {}
        self.seen = Seen()
        self.triggers = Triggers(lambda kind: shop.journal.begin_sync(kind, datetime.now(UTC)))
        self.first_sync_finished = asyncio.Event()
        self.last_sync: SyncRow | None = None
        self._mirror = mirror
        self._reader = reader
        self._shop = shop
        self._traffic = traffic
        self._cron = cron
        self._journal = shop.journal
        self._feed = shop.feed
        self._upkeep = Upkeep(shop, zygotes, lambda: (*self.lanes.values(), *self._departing))
        self._memories: dict[ServiceName, Memory] = {}
        self._unsettled: set[ServiceName] = set()
        """Not known to be what git asks for: only these cost a sync any thought."""
        self._newest = 0
        self._departing: set[Lane] = set()
        self._concluding: set[asyncio.Task[None]] = set()
        self._under_way: set[SyncId] = set()
        cron.give_way(lambda: bool(self._under_way) or self.triggers.is_asked)

    def restore(self, returned: Iterable[Returned], memories: dict[ServiceName, Memory], applied: str | None) -> None:
        """Begin with what a former control left running, and what it knew."""
        self._memories = memories
        self.seen = Seen(applied=applied)
        for one in returned:
            lane = self._lane(one.live.recipe.service, one.live.recipe.prefix)
            lane.account.report = one.report
            lane.stage.restore(one.live, one.past, one.parked, one.window)
            # Git may have dropped it meanwhile: compared with nothing read before, that is no change.
            self.reconsider(lane.name)

    async def drain(self) -> None:
        """Let everything that serves finish, and throw away what was being tried."""
        lanes = [*self.lanes.values(), *self._departing]
        await asyncio.gather(*(lane.stop() for lane in lanes))
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
                log.exception("a bug stopped a sync", extra={"sync": request.sync})
                await self._give_up(request, bug, watch)

    def _began(self, request: Request) -> None:
        self._under_way.add(request.sync)
        at = datetime.now(UTC)
        self._journal.later(lambda entries: entries.start_sync(request.sync, at))
        message = f"asked for by {request.actor}"
        self._feed.happened(Kind.SYNC_STARTED, message, sync=request.sync, data={"trigger": request.kind})

    async def sync(self, request: Request, watch: Stopwatch) -> None:
        """Fetch, read, plan, apply, record."""
        with watch.phase("fetch"):
            revision = await self._mirror.fetch()
        self.seen = Seen(str(revision), self.seen.applied, None, self.seen.reading)
        await self._mirror.judge(revision.sha, keep=True)
        with watch.phase("read"):
            tree = self._mirror.tree(revision.sha)
            await self._shop.store.retry()
            reading = await asyncio.to_thread(self._read, tree, revision)
            # From here on it is a state, not an edge: whatever goes wrong below, the next sync still knows of it.
            self._unsettled |= reading.changed
            check_losses(reading, self.lanes)
            # Before any thought about it: whoever finishes something meanwhile asks whether that is still wanted.
            self.seen = Seen(str(revision), self.seen.applied, None, reading)
        with watch.phase("plan"):
            if request.retry:
                await self._forgive()
            actions = await self._plan(reading)
        self._journal.later(lambda entries: entries.record_revision(request.sync, revision))
        self._shop.commits.note(revision.sha)
        self._tell_plan(request, reading, actions)
        await self._announce(actions, reading)
        await self._traffic.know(reading.mount)
        work = await self._apply(actions, reading, request)
        self._conclude_later(request, reading, actions, work, watch)

    def _read(self, tree: Tree, revision: Revision) -> Reading:
        """What git asks for, and in which versions there are the secrets that it names."""
        return self._shop.secrets.complete(self._reader.read(tree, revision))

    async def _plan(self, reading: Reading) -> tuple[Action, ...]:
        """Only what changed, and what is not yet as it should be, costs any thought."""
        self._unsettled = {name for name in self._unsettled if name in reading.wishes or name in self.lanes}
        desired, running = {}, {}
        async for name in unhurried(tuple(self._unsettled)):
            running[name] = self._running(name)
            if name in reading.wishes:
                desired[name] = reading.wishes[name].desired()
        return await asyncio.to_thread(plan, desired, running)

    def _running(self, name: ServiceName) -> Running:
        """Of one that nothing runs of yet, what a former control knew."""
        lane = self.lanes.get(name)
        return lane.running() if lane is not None else self._memories.get(name, NOTHING).running()

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

    def _tell_plan(self, request: Request, reading: Reading, actions: tuple[Action, ...]) -> None:
        told = [_in_short(action) for action in actions if action.verb is not Verb.KEEP]
        kept = len(reading.wishes) - sum(1 for action in actions if action.verb not in (Verb.KEEP, Verb.REMOVE))
        self._feed.happened(
            Kind.SYNC_PLANNED,
            f"{len(told)} to do, {kept} to keep",
            sync=request.sync,
            revision=str(reading.revision),
            data={"actions": told, "kept": kept},
        )

    def _tell_end(self, action: Action, request: Request, work: Work) -> None:
        outcome, lane = outcome_of(work), self.lanes.get(action.service)
        failure = outcome.failure
        told = {
            "verb": action.verb.value,
            "outcome": outcome.state,
            "reason": failure.reason if failure else None,
            "message": failure.message if failure else None,
            "path": f"{lane.stage.prefix}/" if lane is not None else None,
            "phases": in_seconds(outcome.phases, action.service),
        }
        message = failure.message if failure else outcome.state
        self._feed.passes(Kind.ACTION_FINISHED, message, service=action.service, sync=request.sync, data=told)

    async def _announce(self, actions: tuple[Action, ...], reading: Reading) -> None:
        """Give every new service its lane, and the gateway all their names at once."""
        unknown = {}
        async for action in unhurried(actions):
            if action.service not in self.lanes and action.service in reading.wishes:
                prefix = reading.wishes[action.service].prefix
                self._lane(action.service, prefix)
                unknown[prefix] = action.service
        await self._traffic.introduce(unknown)

    def _lane(self, name: ServiceName, prefix: str) -> Lane:
        memory = self._memories.pop(name, NOTHING)
        lane = self.lanes[name] = Lane(name, prefix, self._shop, self._traffic, self._cron, self._ask_to_retry, memory)
        return lane

    def _act(self, action: Action, reading: Reading, request: Request, work: Mapping[ServiceName, Work]) -> Work | None:
        lane = self.lanes.get(action.service)
        if lane is None:
            return None
        wish, revision = reading.wishes.get(action.service), str(reading.revision)
        if action.verb is Verb.REMOVE:
            return lane.remove()
        begins = action.verb in (Verb.START, Verb.REPLACE) and lane.account.word.suspended is None
        if begins and isinstance(wish, Wanted):
            return self._begin(lane, wish, reading, request, work)
        if action.verb is Verb.KEEP:
            lane.keep(revision)
        else:
            suspended = isinstance(wish, Wanted) and wish.manifest.suspend
            lane.hold(revision, _why_held(lane, wish), suspended=suspended)
        if not lane.busy:
            self._unsettled.discard(action.service)
        return None

    def _begin(
        self, lane: Lane, wish: Wanted, reading: Reading, request: Request, work: Mapping[ServiceName, Work]
    ) -> Work | None:
        if lane.is_waiting_for(wish.ingredients.digest) and not request.retry:
            return None
        needed = [ServiceName(name) for name in wish.manifest.depends_on]
        missing = next((name for name in needed if name not in work and not self._follows_git(name, reading)), None)
        if missing is not None:
            lane.hold(str(reading.revision), dependency_not_ready(missing))
            return None
        after = [(name, work[name]) for name in needed if name in work]
        open_tree = partial(self._mirror.tree, reading.revision.sha)
        return lane.pursue(Order(wish, open_tree, request.sync, after))

    def _follows_git(self, name: ServiceName, reading: Reading) -> bool:
        """Whether what serves is what git asks for. One that is not there, or suspended, keeps nobody waiting."""
        wish, lane = reading.wishes.get(name), self.lanes.get(name)
        if wish is None or lane is None or lane.account.suspended or lane.account.word.suspended is not None:
            return True
        live = lane.stage.live
        return isinstance(wish, Wanted) and live is not None and live.ingredients == wish.ingredients

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
        task.add_done_callback(lambda _: self._under_way.discard(request.sync))

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
            self._look_back(name)
        if any(outcome.state == "done" for outcome in outcomes.values()):
            self._wake_dependents(frozenset(outcomes))
        told = tuple(
            [
                _told(action, outcomes.get(action.service) or self._left_undone(action))
                async for action in unhurried(actions)
                if action.verb is not Verb.KEEP
            ]
        )
        state = _state(told, meant={action.service for action in actions if action.meant})
        if state == "done" and self._is_newest(request) and not await self._is_any_behind(work):
            self.seen = replace(self.seen, applied=str(reading.revision))
        kept = len(reading.wishes) - sum(1 for one in told if one.service in reading.wishes)
        passed_by = _passed_by(reading)
        await self._finish(
            request, state, watch, revision=str(reading.revision), message=passed_by, actions=told, kept=kept
        )
        await self._upkeep.tidy(work.keys())

    async def _is_any_behind(self, done: Collection[ServiceName]) -> bool:
        """Whether something but these stays as it is against the wish of git, since it failed before."""
        troubled = [name for name, lane in self.lanes.items() if lane.account.trouble is not None and name not in done]
        plans = [self._plan_of(name, self.lanes[name]) async for name in unhurried(troubled) if name in self.lanes]
        return any(action.verb is not Verb.KEEP and not action.meant for action in plans)

    def _look_back(self, name: ServiceName) -> None:
        """Work on a service has ended: has it become what git asks for by now?"""
        lane = self.lanes.get(name)
        if lane is None or lane.busy:
            return
        if lane.left:
            self._depart(self.lanes.pop(name))
            self._note_departed(name)
        elif self._plan_of(name, lane).verb in (Verb.KEEP, Verb.HOLD):
            self._unsettled.discard(name)
        else:
            # Git changed its mind while something was being finished; or it failed, and has a timer of its own.
            self._unsettled.add(name)
            if lane.account.trouble is None:
                self._ask_to_retry()

    def _note_departed(self, name: ServiceName) -> None:
        """Git may hold it again, and have a sync that had still met the one that left."""
        if self.seen.reading is None or name not in self.seen.reading.wishes:
            self._unsettled.discard(name)
        else:
            self._unsettled.add(name)
            self._ask_to_retry()

    def _plan_of(self, name: ServiceName, lane: Lane) -> Action:
        wish = self.seen.reading.wishes.get(name) if self.seen.reading is not None else None
        return decide(name, wish.desired() if wish is not None else None, lane.running())

    def _wake_dependents(self, done: frozenset[ServiceName]) -> None:
        """Somebody may have waited for these, with no timer of his own."""
        wishes = self.seen.reading.wishes if self.seen.reading is not None else {}
        waiting = (wishes.get(name) for name in self._unsettled)
        if any(isinstance(wish, Wanted) and not done.isdisjoint(wish.manifest.depends_on) for wish in waiting):
            self._ask_to_retry()

    def _left_undone(self, action: Action) -> Outcome | None:
        """It was to begin and did not, since it waits for its time or for somebody else; or it cannot be followed."""
        lane = self.lanes.get(action.service)
        if action.verb is Verb.REMOVE or action.meant or lane is None or lane.account.trouble is None:
            return None
        return Outcome("failed", lane.account.trouble)

    def _is_newest(self, request: Request) -> bool:
        """Syncs may end in another order than they began; an older one has nothing to say about the present."""
        if int(request.sync) < self._newest:
            return False
        self._newest = int(request.sync)
        return True

    async def _give_up(self, request: Request, failure: Exception, watch: Stopwatch) -> None:
        """Nothing could be followed: everything keeps running, and says so. An error is never a deletion."""
        foreseen = failure if isinstance(failure, Failure) else Wait(Reason.SOURCE_UNAVAILABLE, BUG)
        self.seen = replace(self.seen, trouble=foreseen)
        log.warning(foreseen.message, extra={"reason": foreseen.reason, "sync": request.sync})
        self._under_way.discard(request.sync)
        await self._finish(request, "failed", watch, message=foreseen.message, kept=len(self.lanes))

    async def _finish(
        self,
        request: Request,
        state: Literal["done", "failed", "superseded"],
        watch: Stopwatch,
        *,
        revision: str | None = None,
        message: str | None = None,
        actions: tuple[ActionStatus, ...] = (),
        kept: int = 0,
    ) -> None:
        end = partial(
            _write_end,
            sync=request.sync,
            state=state,
            at=datetime.now(UTC),
            message=message,
            actions=[one.model_dump(mode="json") for one in actions],
            kept=kept,
            phases=[phase.model_dump(mode="json") for phase in watch.phases],
        )
        try:
            await self._write_down(request, end)
        except StoreUnusable:
            log.exception("a sync could not be written down yet", extra={"sync": request.sync})
            self._spawn(self._persist(request, end))
        seconds = sum(phase.seconds for phase in watch.phases if phase.service is None)
        told: dict[str, Any] = {"state": state, "seconds": seconds, "phases": in_seconds(watch.phases)}
        told.update(Counter(one.outcome for one in actions))
        self._feed.happened(Kind.SYNC_FINISHED, message or state, sync=request.sync, revision=revision, data=told)
        self.first_sync_finished.set()

    async def _write_down(self, request: Request, end: Callable[..., SyncRow | None]) -> None:
        row = await self._journal.write(partial(end, seen=self.seen))
        self.last_sync = row if self._is_newest(request) else self.last_sync

    async def _persist(self, request: Request, end: Callable[..., SyncRow | None]) -> None:
        """Whoever waits for this sync asks the journal, and would wait for ever."""
        while True:
            await asyncio.sleep(STORE_RETRY)
            with suppress(StoreUnusable):
                await self._write_down(request, end)
                return

    def _depart(self, lane: Lane) -> None:
        """It is no service any more, and its last worker may still be finishing something."""
        self._departing.add(lane)
        self._spawn(self._see_off(lane))

    async def _see_off(self, lane: Lane) -> None:
        await lane.settle()
        self._departing.discard(lane)
        await self._upkeep.tidy([lane.name])

    async def _forgive(self) -> None:
        await self._journal.forgive()
        for name, lane in self.lanes.items():
            if lane.account.failed:
                lane.account.failed.clear()
                self._unsettled.add(name)
        self._memories = {name: replace(memory, failed={}) for name, memory in self._memories.items()}

    def _ask_to_retry(self) -> None:
        self._spawn(self._retry())

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)

    async def _retry(self) -> None:
        while True:
            try:
                await self.triggers.ask("retry", "reconciler")
            except StoreUnusable:
                await asyncio.sleep(STORE_RETRY)
            else:
                return


def _write_end(
    entries: Transaction,
    *,
    sync: SyncId,
    state: Literal["done", "failed", "superseded"],
    seen: Seen,
    at: datetime,
    **end: Any,
) -> SyncRow | None:
    entries.finish_sync(sync, state, at, **end)
    entries.set_source(seen.attempted, seen.applied, at)
    return entries.sync(sync)


def _why_held(lane: Lane, wish: Wish | None) -> Failure | None:
    if isinstance(wish, Unfit):
        return wish.failure
    return lane.account.failed.get(wish.ingredients.digest) if wish is not None else None


def _in_short(action: Action) -> dict[str, str]:
    return {"service": action.service, "verb": action.verb.value, "why": action.why}


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


def _passed_by(reading: Reading) -> str | None:
    """Folders that cannot be services: nobody else would tell of them."""
    told = [f"{problem.message}: {problem.remedy}" for problem in reading.misnamed[:MISNAMED_TOLD]]
    more = len(reading.misnamed) - len(told)
    return "; ".join([*told, f"and {more} more"] if more else told) or None


def _state(told: tuple[ActionStatus, ...], meant: Collection[ServiceName]) -> Literal["done", "failed", "superseded"]:
    if any(one.outcome == "failed" or (one.verb == "hold" and one.service not in meant) for one in told):
        return "failed"
    return "superseded" if any(one.outcome == "superseded" for one in told) else "done"
