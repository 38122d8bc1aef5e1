"""Every service there is, what git was seen to ask of it, and which are not known to be just that.

What is settled costs a sync no thought. A service leaves when git no longer holds it and its last worker is done.
Refuses to begin any work on a service: the loop does.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass, replace

from reconciler.control.attention import unhurried
from reconciler.control.boot import Returned
from reconciler.control.cron import Cron
from reconciler.control.deployment import Workshop
from reconciler.control.lane import Lane
from reconciler.control.memory import NOTHING, Memory
from reconciler.control.order import Outcome
from reconciler.control.traffic import Traffic
from reconciler.control.upkeep import Upkeep
from reconciler.control.wanted import Reading, Wanted
from reconciler.model.failure import Failure
from reconciler.model.names import ServiceName
from reconciler.model.plan import Action, Running, Verb, decide, plan
from reconciler.worker.zygotes import Zygotes


@dataclass(frozen=True, slots=True)
class Seen:
    """What the loop knows of git: what it tried to follow, and what it could."""

    attempted: str | None = None
    applied: str | None = None
    trouble: Failure | None = None
    reading: Reading | None = None


class Fleet:
    def __init__(
        self,
        shop: Workshop,
        traffic: Traffic,
        zygotes: Zygotes,
        cron: Cron,
        retry: Callable[[], None],
        spawn: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        self.lanes: dict[ServiceName, Lane] = {}
        self.seen = Seen()
        self.upkeep = Upkeep(shop, zygotes, lambda: (*self.lanes.values(), *self._departing))
        self._shop = shop
        self._traffic = traffic
        self._cron = cron
        self._retry = retry
        self._spawn = spawn
        self._memories: dict[ServiceName, Memory] = {}
        self._unsettled: set[ServiceName] = set()
        """Not known to be what git asks for: only these cost a sync any thought."""
        self._departing: set[Lane] = set()

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

    def settle(self, lane: Lane) -> None:
        """It is what git asks for, or can do nothing about it; unless something is still being done."""
        if not lane.busy:
            self._unsettled.discard(lane.name)

    def met(self, reading: Reading) -> None:
        """From here on it is a state, not an edge: whatever goes wrong below, the next sync still knows of it."""
        self._unsettled |= reading.changed

    async def forgive(self) -> None:
        await self._shop.journal.forgive()
        for name, lane in self.lanes.items():
            if lane.account.failed:
                lane.account.failed.clear()
                self._unsettled.add(name)
        self._memories = {name: replace(memory, failed={}) for name, memory in self._memories.items()}

    async def plan(self, reading: Reading) -> tuple[Action, ...]:
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

    async def announce(self, actions: tuple[Action, ...], reading: Reading) -> None:
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
        lane = self.lanes[name] = Lane(name, prefix, self._shop, self._traffic, self._cron, self._retry, memory)
        return lane

    def follows_git(self, name: ServiceName, reading: Reading) -> bool:
        """Whether what serves is what git asks for. One that is not there, or suspended, keeps nobody waiting."""
        wish, lane = reading.wishes.get(name), self.lanes.get(name)
        if wish is None or lane is None or lane.account.suspended or lane.account.word.suspended is not None:
            return True
        live = lane.stage.live
        return isinstance(wish, Wanted) and live is not None and live.ingredients == wish.ingredients

    async def is_any_behind(self, done: Collection[ServiceName]) -> bool:
        """Whether something but these stays as it is against the wish of git, since it failed before."""
        troubled = [name for name, lane in self.lanes.items() if lane.account.trouble is not None and name not in done]
        plans = [self._plan_of(name, self.lanes[name]) async for name in unhurried(troubled) if name in self.lanes]
        return any(action.verb is not Verb.KEEP and not action.meant for action in plans)

    def look_back(self, name: ServiceName) -> None:
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
                self._retry()

    def _note_departed(self, name: ServiceName) -> None:
        """Git may hold it again, and have a sync that had still met the one that left."""
        if self.seen.reading is None or name not in self.seen.reading.wishes:
            self._unsettled.discard(name)
        else:
            self._unsettled.add(name)
            self._retry()

    def _plan_of(self, name: ServiceName, lane: Lane) -> Action:
        wish = self.seen.reading.wishes.get(name) if self.seen.reading is not None else None
        return decide(name, wish.desired() if wish is not None else None, lane.running())

    def wake_dependents(self, done: frozenset[ServiceName]) -> None:
        """Somebody may have waited for these, with no timer of his own."""
        wishes = self.seen.reading.wishes if self.seen.reading is not None else {}
        waiting = (wishes.get(name) for name in self._unsettled)
        if any(isinstance(wish, Wanted) and not done.isdisjoint(wish.manifest.depends_on) for wish in waiting):
            self._retry()

    def left_undone(self, action: Action) -> Outcome | None:
        """It was to begin and did not, since it waits for its time or for somebody else; or it cannot be followed."""
        lane = self.lanes.get(action.service)
        if action.verb is Verb.REMOVE or action.meant or lane is None or lane.account.trouble is None:
            return None
        return Outcome("failed", lane.account.trouble)

    def _depart(self, lane: Lane) -> None:
        """It is no service any more, and its last worker may still be finishing something."""
        self._departing.add(lane)
        self._spawn(self._see_off(lane))

    async def _see_off(self, lane: Lane) -> None:
        await lane.settle()
        self._departing.discard(lane)
        await self.upkeep.tidy([lane.name])
