"""`plan`: what a sync to some revision would do, why, and who will notice; without doing it.

The plan itself is the same pure function as in a sync. What it leads to is looked at from both sides: the packages are
resolved, and what would serve is started privately beside what does, so that their routes can be compared. Refuses
to touch the traffic, the journal, and whatever serves.
"""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from secrets import token_hex
from typing import Any

from reconciler.control.checking import Say, Survey
from reconciler.control.folders import Folders
from reconciler.control.gate import Shelf
from reconciler.control.lane import Lane
from reconciler.control.live import Live
from reconciler.control.losses import check_losses
from reconciler.control.reading import Reader
from reconciler.control.secrets import Secrets
from reconciler.control.trial import OpenTree, TrialFolders, Trials, trials
from reconciler.control.wanted import Reading, Unfit, Wanted
from reconciler.environment import Environments
from reconciler.model.failure import Failure, UnknownRevision
from reconciler.model.names import EnvironmentId, Revision, ServiceName
from reconciler.model.openapi import Document
from reconciler.model.package_change import difference
from reconciler.model.plan import Action, Running, Verb, plan
from reconciler.model.plan_status import PlannedAction, PlanStatus, RouteStatus
from reconciler.model.problem import Problem
from reconciler.model.progress import Progress, silent
from reconciler.model.routes import RouteChange, compare
from reconciler.model.status import PackageStatus, ProblemStatus
from reconciler.model.suite.answer import Unreadable
from reconciler.source.followed import Source
from reconciler.suite.call import Call
from reconciler.suite.exchange import Broken, TimedOut, Unreachable, ask, connect
from reconciler.suite.openapi import WHERE
from reconciler.worker.crew import Crew

ANSWERS_WITHIN = 5.0
MOST_COMPARED = 50
"""Services that are started for one plan; of further ones the routes are not compared."""


@dataclass(frozen=True, slots=True)
class Side:
    """A service as it is, or as it would be."""

    prefix: str
    packages: Callable[[], Awaitable[Mapping[str, str]]]
    contract: Callable[[], Awaitable[Document | None]]


Sides = Callable[[ServiceName], "tuple[Side | None, Side | None]"]


async def look_into(
    actions: tuple[Action, ...], reading: Reading, sides: Sides, *, routes: bool
) -> tuple[PlannedAction, ...]:
    """Each action with what it leads to, side by side."""
    moving = [action.service for action in actions if action.verb not in (Verb.KEEP, Verb.HOLD)]
    compared = frozenset(moving[:MOST_COMPARED]) if routes else frozenset()
    # When it is cancelled, a group waits until each has put away what it started.
    async with asyncio.TaskGroup() as group:
        looking = [
            group.create_task(_look_into(action, reading, sides, routes=action.service in compared))
            for action in actions
        ]
    return tuple(task.result() for task in looking)


async def between(
    before: Survey | None,
    now: Survey,
    folders: TrialFolders,
    environments: Environments,
    secrets: Secrets,
    *,
    routes: bool,
    say: Say,
) -> PlanStatus:
    """From one tree to another, where nothing serves: both sides are started privately."""
    if now.broken:
        return PlanStatus(
            revision=str(now.reading.revision),
            actions=(),
            message=f"{now.broken[0].place}: {now.broken[0].message}",
            problems=tuple(map(problem_status, now.broken)),
        )
    was = before.reading.wishes if before is not None else {}
    running = {name: Running(wish.desired().ingredients) for name, wish in was.items()}
    actions = plan({name: wish.desired() for name, wish in now.reading.wishes.items()}, running)
    async with trials(folders, environments, secrets) as room:

        def side(found: Survey | None, name: ServiceName) -> Side | None:
            wish = found.reading.wishes.get(name) if found is not None else None
            if found is None or not isinstance(wish, Wanted):
                return None
            return trial_side(wish, room, environments, found.open_tree, partial(say, name))

        planned = await look_into(
            actions, now.reading, lambda name: (side(before, name), side(now, name)), routes=routes
        )
    return PlanStatus(revision=str(now.reading.revision), actions=planned)


def trial_side(
    wanted: Wanted, room: Trials, environments: Environments, open_tree: OpenTree, say: Progress = silent
) -> Side:
    """What would serve, started privately when its routes are asked for."""

    async def packages() -> Mapping[str, str]:
        return (await environments.lock(wanted.requirements, say)).packages

    async def contract() -> Document | None:
        async with room.start(wanted, open_tree, say) as crew:
            return await contract_of(crew)

    return Side(wanted.prefix, packages, contract)


def problem_status(problem: Problem) -> ProblemStatus:
    return ProblemStatus(**{name: value for name, value in asdict(problem).items() if name != "service"})


@dataclass(slots=True)
class Planner:
    """Plans against what serves on this platform, one at a time."""

    mirror: Source
    reader: Reader
    lanes: Mapping[ServiceName, Lane]
    environments: Environments
    secrets: Secrets
    folders: Folders
    preparing: Counter[EnvironmentId]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def plan(self, ref: str | None, *, routes: bool) -> PlanStatus:
        async with self._turn:
            try:
                revision = await self._revision(ref)
            except Failure as failure:
                return _nothing(None, failure)
            try:
                return await self._plan(revision, routes=routes)
            except Failure as failure:
                return _nothing(revision, failure)

    async def _plan(self, revision: Revision, *, routes: bool) -> PlanStatus:
        # Looking at routes runs what is looked at.
        await self.mirror.judge(revision.sha, keep=False)
        tree, reader = self.mirror.tree(revision.sha), self.reader.apart(Shelf())
        reading = self.secrets.apart().complete(await asyncio.to_thread(reader.read, tree, revision))
        check_losses(reading, self.lanes)
        running = {name: lane.running() for name, lane in self.lanes.items()}
        actions = plan({name: wish.desired() for name, wish in reading.wishes.items()}, running)
        open_tree = partial(self.mirror.tree, revision.sha)
        async with self._room() as room:

            def sides(name: ServiceName) -> tuple[Side | None, Side | None]:
                lane, wish = self.lanes.get(name), reading.wishes.get(name)
                live = lane.stage.live if lane is not None else None
                return (
                    _live_side(live) if live is not None else None,
                    trial_side(wish, room, self.environments, open_tree) if isinstance(wish, Wanted) else None,
                )

            planned = await look_into(actions, reading, sides, routes=routes)
        failed: dict[str, Failure | None] = {action.service: self._known_failure(action) for action in actions}
        told = (one.model_copy(update=_failing(why)) if (why := failed[one.service]) else one for one in planned)
        return PlanStatus(revision=str(revision), actions=tuple(told))

    def _known_failure(self, action: Action) -> Failure | None:
        """Of what failed before and would be passed by."""
        lane = self.lanes.get(action.service)
        if lane is None or action.digest is None or action.verb is not Verb.HOLD or action.meant:
            return None
        return lane.account.failed.get(action.digest)

    async def _revision(self, ref: str | None) -> Revision:
        if ref is None:
            return await self.mirror.fetch()
        sha = await self.mirror.resolve(ref) if ref != self.mirror.branch else None
        if sha is None:
            await self.mirror.fetch()
            sha = await self.mirror.resolve(ref)
        if sha is None:
            raise UnknownRevision(f"there is no commit {ref} on {self.mirror.branch}, as far back as it was fetched")
        return Revision(self.mirror.branch, sha)

    @asynccontextmanager
    async def _room(self) -> AsyncIterator[Trials]:
        """Apart from everything that serves; what a crash left of the last one is removed."""
        place, token = self.folders.data / "trials", token_hex(2)
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
        folders = TrialFolders(place, self.folders.run / f"p-{token}", self.folders.data / "environments")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, shutil.rmtree, place, ignore_errors=True)
            yield await stack.enter_async_context(trials(folders, self.environments, self.secrets, self.preparing))


async def _look_into(action: Action, reading: Reading, sides: Sides, *, routes: bool) -> PlannedAction:
    wish = reading.wishes.get(action.service)
    planned = PlannedAction(service=action.service, verb=action.verb.value, why=action.why, moved=action.moved)
    if isinstance(wish, Unfit):
        return planned.model_copy(update=_failing(wish.failure))
    if action.verb in (Verb.KEEP, Verb.HOLD):
        return planned
    before, after = sides(action.service)
    try:
        packages = await _packages(action, before, after)
        planned = planned.model_copy(update={"packages": packages})
        changes = await _routes(before, after) if routes else None
    except Failure as failure:
        return planned.model_copy(update=_failing(failure))
    if changes is None:
        return planned
    told = tuple(_route(change) for change in changes)
    return planned.model_copy(update={"routes": told, "breaking": any(change.is_breaking for change in changes)})


async def _packages(action: Action, before: Side | None, after: Side | None) -> tuple[PackageStatus, ...]:
    if after is None or (action.verb is Verb.REPLACE and "environment" not in action.moved):
        return ()
    old = await before.packages() if before is not None else {}
    return tuple(
        PackageStatus(name=one.name, old=one.old, new=one.new) for one in difference(old, await after.packages())
    )


async def _routes(before: Side | None, after: Side | None) -> tuple[RouteChange, ...] | None:
    """None where one of the two does not say which routes it has."""
    new = await after.contract() if after is not None else {}
    old = await before.contract() if before is not None else {}
    if old is None or new is None:
        return None
    return compare(_below(old, before), _below(new, after))


def _below(document: Document, side: Side | None) -> Document:
    """A document with its paths as seen from the service: another mount is another matter."""
    paths = document.get("paths")
    if side is None or not isinstance(paths, Mapping):
        return document
    return {**document, "paths": {str(path).removeprefix(side.prefix) or "/": item for path, item in paths.items()}}


def _live_side(live: Live) -> Side:
    async def packages() -> Mapping[str, str]:
        return live.packages

    return Side(live.recipe.prefix, packages, partial(contract_of, live.crew))


async def contract_of(crew: Crew) -> Document | None:
    call = Call("GET", crew.spec.prefix + WHERE, (("X-Request-Id", "plan"),))
    for worker in crew.ready[:1]:
        try:
            async with connect(str(worker.sockets.private)) as client:
                answer = await ask(client, call, ANSWERS_WITHIN, time.monotonic)
            document: Any = answer.json if answer.status == 200 else None
        except (Broken, Unreachable, TimedOut, Unreadable):
            return None
        return document if isinstance(document, Mapping) and isinstance(document.get("paths"), Mapping) else None
    return None


def _route(change: RouteChange) -> RouteStatus:
    return RouteStatus(
        method=change.method, path=change.path, kind=change.kind.value, breaks=change.breaks, notes=change.notes
    )


def _failing(failure: Failure) -> dict[str, Any]:
    problems = tuple(map(problem_status, failure.problems))
    return {"reason": failure.reason.value, "message": failure.message, "problems": problems}


def _nothing(revision: Revision | None, failure: Failure) -> PlanStatus:
    return PlanStatus(
        revision=str(revision) if revision else None,
        actions=(),
        message=failure.message,
        problems=tuple(map(problem_status, failure.problems)),
    )
