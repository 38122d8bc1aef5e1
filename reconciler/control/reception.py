"""What becomes of a push: looked at before git accepts it, carried out after.

What `check` can say without starting anything is said before the branch moves, and what is wrong is declined by git
itself. Once it has moved, a sync is asked for, and told to the pusher for as long as he listens; it goes on
without him. Refuses to move a branch: that is git's business.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from reconciler.control.checking import Scope, Survey, read_only, told
from reconciler.control.feed import Feed
from reconciler.control.gate import Shelf
from reconciler.control.loop import Loop
from reconciler.control.losses import check_losses
from reconciler.control.narration import MARGIN, STEP, Until, narrate, trouble
from reconciler.control.reading import Reader
from reconciler.control.veil import Veil
from reconciler.control.wanted import Reading, Unfit
from reconciler.model.failure import Failure, Stalled
from reconciler.model.names import ObjectId, Revision, ServiceName
from reconciler.model.platform import FILE
from reconciler.model.problem import Problem
from reconciler.source.backend import Backend, Call, Client
from reconciler.source.hooks import Line, Question, Update
from reconciler.source.hosted import Hosted
from reconciler.store.unusable import StoreUnusable

log = logging.getLogger(__name__)

WAITS: tuple[Until, ...] = ("none", "plan", "live")
MOST_IGNORED = 10


class Announcer:
    """Asks for syncs in somebody's name, and tells them while they go on."""

    def __init__(self, loop: Loop, feed: Feed, services: str) -> None:
        self._loop = loop
        self._feed = feed
        self._services = services

    async def announce(self, actor: str, until: Until) -> AsyncGenerator[str, None]:
        """The sync is certain to happen once the first line is there; whoever stops listening stops nothing."""
        with self._feed.listen(early=True) as listener:
            try:
                request = await self._loop.triggers.ask("push", actor)
            except StoreUnusable as unusable:
                yield next(trouble(f"A sync could not be asked for: {unusable}. The next poll makes up for it.", ()))
                return
            yield f"{STEP}Sync {request.sync}"
            async with aclosing(narrate(listener, request.sync, self._services, until)) as lines:
                async for line in lines:
                    yield line


@dataclass(frozen=True, slots=True)
class Reception:
    hosted: Hosted
    backend: Backend
    loop: Loop
    reader: Reader
    announcer: Announcer
    veil: Veil

    @property
    def name(self) -> str | None:
        return self.hosted.name

    @property
    def elsewhere(self) -> str:
        return self.hosted.address.location

    async def serve(self, call: Call, client: Client) -> None:
        """One request of a git client."""
        if call.service != "git-receive-pack":
            await self.backend.run(call, client, _nobody_asks)
            return
        push = Push(self, call.user)
        before = await self.hosted.latest()
        try:
            await self.backend.run(call, client, push.answer)
        finally:
            # Whoever hung up, or was cut off, between the two hooks: the branch has moved all the same.
            await asyncio.shield(push.make_up(before))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Nothing is pushed to this server: it follows a repository that is somewhere else."""

    elsewhere: str
    name: None = None

    async def serve(self, call: Call, client: Client) -> None:
        raise AssertionError("nobody is let in")


async def _nobody_asks(_: Line) -> None:
    """Nothing is pushed, so no hook runs."""


class Push:
    """One push, from the question whether it may to the end of what it caused."""

    def __init__(self, reception: Reception, actor: str) -> None:
        self._reception = reception
        self._hosted = reception.hosted
        self._actor = actor
        self._asked = False

    async def answer(self, line: Line) -> None:
        async for question in line.questions():
            if question.hook == "pre-receive":
                lines = await self._objections(question)
                if lines:
                    await line.say(self._reception.veil.text("\n".join(lines)))
                await line.end(well=not lines)
            else:
                async with aclosing(self._carry_out(question)) as told_lines:
                    async for each in told_lines:
                        await line.say(self._reception.veil.text(each))
                await line.end(well=True)

    async def make_up(self, before: ObjectId | None) -> None:
        if not self._asked and await self._hosted.latest() != before:
            try:
                await self._reception.loop.triggers.ask("push", self._actor)
            except StoreUnusable:
                log.exception("a push could not be followed; the next poll makes up for it")

    # Before

    async def _objections(self, question: Question) -> list[str]:
        """Why git is to decline it; nothing when it may."""
        for update in question.updates:
            if not update.ref.startswith(("refs/heads/", "refs/tags/")):
                return list(trouble(f"{update.ref} is neither a branch nor a tag; push those only", ()))
        _, wrong = _wait(question.options)
        if wrong is not None:
            return list(trouble(wrong, ()))
        followed = next((one for one in question.updates if one.ref == self._hosted.ref), None)
        if followed is None:
            return []
        if followed.deletes:
            branch = self._hosted.branch
            message = f"{branch} is what runs here, and is not deleted. Push a commit without the services instead"
            return list(trouble(message, ()))
        return await self._wrong_with(followed, question)

    async def _wrong_with(self, update: Update, question: Question) -> list[str]:
        try:
            await self._hosted.judge_pushed(update.new, question.quarantine)
            problems = await asyncio.to_thread(self._problems, update, question)
        except Stalled as stalled:
            return [*trouble(stalled.message, ()), NOTHING_CHANGED]
        except Failure as failure:
            return [*trouble(f"{failure.message} Push again", ()), NOTHING_CHANGED]
        if not problems:
            return []
        count = f"{len(problems)} mistakes" if len(problems) > 1 else "a mistake"
        revision = Revision(self._hosted.branch, update.new)
        return [
            *trouble(f"{revision.short} has {count}, found before anything was started:", problems),
            NOTHING_CHANGED,
        ]

    def _problems(self, update: Update, question: Question) -> tuple[Problem, ...]:
        """What reading tells of the services that this push changes; of the others nothing is its fault."""
        tree = self._hosted.tree(update.new, question.quarantine)
        revision = Revision(self._hosted.branch, update.new)
        before = self._reception.loop.seen.reading
        try:
            reading = self._reception.reader.apart(Shelf()).read(tree, revision)
        except Stalled as stalled:
            return told(stalled, None, FILE)
        check_losses(reading, self._reception.loop.lanes)
        changed = Scope(changed=_newly_unfit(reading, before))
        checked = read_only(Survey(lambda: tree, reading), changed)
        old = set(before.misnamed) if before is not None else set()
        return tuple(problem for one in checked for problem in one.problems if problem not in old)

    # After

    async def _carry_out(self, question: Question) -> AsyncGenerator[str, None]:
        others = [update for update in question.updates if update.ref != self._hosted.ref]
        for update in others[:MOST_IGNORED]:
            name = update.ref.removeprefix("refs/heads/")
            done = "deleted" if update.deletes else "kept"
            yield f"{MARGIN}{name} is {done}; only {self._hosted.branch} is deployed"
        if len(others) > MOST_IGNORED:
            yield f"{MARGIN}and so are {len(others) - MOST_IGNORED} more"
        if len(others) == len(question.updates):
            return
        self._asked = True
        wait, _ = _wait(question.options)
        async with aclosing(self._reception.announcer.announce(self._actor, wait)) as lines:
            async for line in lines:
                yield line


NOTHING_CHANGED = f"{MARGIN}Nothing was changed: what served goes on serving."


def _wait(options: tuple[str, ...]) -> tuple[Until, str | None]:
    """How long the pusher wants to wait, or what is wrong with how it was said. Other options are not for us."""
    said = [option.removeprefix("wait=") for option in options if option.startswith("wait=")]
    if not said:
        return "live", None
    found = next((wait for wait in WAITS if wait == said[-1]), None)
    if found is None:
        return "live", f"`-o wait={said[-1][:40]}` is not understood; say wait=none, wait=plan or wait=live"
    return found, None


def _newly_unfit(reading: Reading, before: Reading | None) -> frozenset[ServiceName]:
    known = before.wishes if before is not None else {}

    def is_new(name: ServiceName, wish: Unfit) -> bool:
        was = known.get(name)
        return not isinstance(was, Unfit) or was.failure.message != wish.failure.message

    return frozenset(name for name, wish in reading.wishes.items() if isinstance(wish, Unfit) and is_new(name, wish))
