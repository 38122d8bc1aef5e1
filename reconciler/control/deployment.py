"""One attempt to make one digest live: prepare completely, prove, switch one reference, drain the old.

If anything fails before the switch, the *new* thing is thrown away and nobody notices. The intent is in the
journal before each side effect, so that the next control knows what was under way.
"""

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from reconciler.control.commits import Commits
from reconciler.control.feed import Feed
from reconciler.control.folders import Folders
from reconciler.control.gate import Gate, refusal
from reconciler.control.places import in_repository
from reconciler.control.recipe import Recipe, recipe
from reconciler.control.secrets import Secrets
from reconciler.control.stopwatch import Stopwatch
from reconciler.control.wanted import Wanted
from reconciler.environment import Environment, Environments, Lock
from reconciler.model.failure import Failure, Reason, Stalled, Wait
from reconciler.model.names import EnvironmentId, ReleaseId, SyncId
from reconciler.model.verdict import Report, Verdict
from reconciler.secrets import EncryptedStore
from reconciler.source.tree import Tree
from reconciler.store.journal import Journal
from reconciler.store.rows import Phase
from reconciler.store.unusable import StoreUnusable
from reconciler.worker.crew import Crew
from reconciler.worker.engine import Engine
from reconciler.worker.slot import take_turn
from reconciler.worker.spec import ReleaseSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What it takes to make a release: the strangers that control introduces."""

    journal: Journal
    feed: Feed
    commits: Commits
    environments: Environments
    engine: Engine
    gate: Gate
    folders: Folders
    secrets: Secrets
    store: EncryptedStore
    starts: asyncio.Semaphore
    """Bounds how many releases fork and import at once; nothing slow is awaited while it is held."""
    preparing: Counter[EnvironmentId] = field(default_factory=Counter)
    """Environments that releases under way need, also those that nothing runs in yet."""


class Watcher(Protocol):
    """Who is told how far it has come."""

    candidate: ReleaseId | None

    def say(self, phase: str) -> None: ...

    def played(self, report: Report) -> None: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release that has proved itself and serves nobody yet."""

    release: ReleaseId
    recipe: Recipe
    lock: Lock
    crew: Crew
    begun_at: datetime


class Deployment:
    def __init__(
        self, workshop: Workshop, wanted: Wanted, open_tree: Callable[[], Tree], sync: SyncId, watcher: Watcher
    ) -> None:
        self.wanted = wanted
        self._shop = workshop
        self._open_tree = open_tree
        self._sync = sync
        self._watcher = watcher
        self.watch = Stopwatch()
        self._environment: EnvironmentId | None = None
        self._release: ReleaseId | None = None
        self._say = watcher.say

    async def prove(self) -> Candidate:
        """Bring up everything that the switch needs; leave nothing behind when that fails."""
        wanted, made, begun_at = self.wanted, recipe(self.wanted), now()
        release = self._watcher.candidate = await self._shop.journal.begin_release(
            wanted.name,
            wanted.ingredients,
            wanted.revision,
            self._sync,
            made.to_plain(),
            begun_at,
            folder=wanted.folder,
            prefix=wanted.prefix,
        )
        self._release = release
        try:
            return await self._bring_up(release, made, begun_at)
        except BaseException as error:
            await asyncio.shield(self._record(release, _as_failure(error)))
            raise

    def close(self) -> None:
        """It serves or it is gone: its environment is held by nobody on its account any more."""
        if self._environment is not None:
            self._shop.preparing[self._environment] -= 1
            self._environment = None
        if self._release is not None:
            release, phases = self._release, [phase.model_dump(mode="json") for phase in self.watch.phases]
            self._shop.journal.later(lambda entries: entries.learn(release, phases=phases))

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Time a step of its way."""
        return self.watch.phase(name, self.wanted.name)

    async def _bring_up(self, release: ReleaseId, made: Recipe, begun_at: datetime) -> Candidate:
        journal = self._shop.journal
        with self.phase("environment"):
            environment, lock = await self._prepare(release)
        packages = dict(lock.packages)
        journal.later(
            lambda entries: entries.advance(
                release, Phase.INSTALLED, now(), environment=environment.id, packages=packages
            )
        )
        self._say("starting")
        with self.phase("start"):
            crew = await self._start(made.spec(release, environment.id, self._shop.folders), made.folder)
        journal.later(lambda entries: entries.advance(release, Phase.STARTED, now()))
        try:
            if self.wanted.manifest.gate == "tests":
                with self.phase("suite"):
                    report = await self._play(crew)
                if report.verdict is not Verdict.PASSED:
                    raise refusal(report)
                journal.later(lambda entries: entries.advance(release, Phase.TESTED, now()))
        except BaseException:
            await asyncio.shield(crew.discard())
            raise
        return Candidate(release, made, lock, crew, begun_at)

    async def _start(self, spec: ReleaseSpec, folder: str) -> Crew:
        try:
            start = partial(self._shop.engine.start, spec, candidate=True)
            return await take_turn(self._shop.starts, start, Crew.discard)
        except Failure as failure:
            in_repository(failure, folder, self._shop.folders.release(spec.service, spec.release))
            raise

    async def _play(self, crew: Crew) -> Report:
        self._say("playing its suite")
        if not crew.ready:
            raise Stalled(Reason.START_FAILED, f"{crew.spec.release} {crew.last_exit or 'ended'} before its suite")
        release, gate = crew.spec.release, self._shop.gate
        report = await gate.play(self.wanted, crew, self._open_tree())
        self._watcher.played(report)
        self._shop.journal.later(lambda entries: entries.learn(release, report=report.to_json()))
        return report

    async def look_again(self, candidate: Candidate) -> Stalled | None:
        """After the switch. Without a gate the suite only reports; with one, one case goes through the public door."""
        if self.wanted.manifest.gate == "tests":
            return await self._shop.gate.smoke(self.wanted, candidate.crew)
        await self._play(candidate.crew)
        return None

    async def _prepare(self, release: ReleaseId) -> tuple[Environment, Lock]:
        writing = asyncio.create_task(self._write_code(release))
        try:
            environment, lock = await self._build_environment()
            await writing
        finally:
            # A thread cannot be cancelled: wait for it, so that it does not write into what is being removed.
            await asyncio.wait([writing])
        return environment, lock

    async def _build_environment(self) -> tuple[Environment, Lock]:
        environments = self._shop.environments
        lock = await environments.lock(self.wanted.requirements, self._say)
        self._environment = lock.id
        self._shop.preparing[lock.id] += 1
        return await environments.build(lock, self._say), lock

    async def _write_code(self, release: ReleaseId) -> None:
        """Blobs are written by us, never checked out."""
        wanted, folders = self.wanted, self._shop.folders
        folders.home(wanted.name).mkdir(parents=True, exist_ok=True)
        home = folders.release(wanted.name, release)
        await asyncio.to_thread(self._open_tree().write, wanted.folder, home, wanted.watched)

    async def throw_away(self, candidate: Candidate, error: BaseException) -> None:
        """It proved itself, and the switch to it failed."""
        await candidate.crew.discard()
        await self._record(candidate.release, _as_failure(error))

    async def _record(self, release: ReleaseId, failure: Failure) -> None:
        self._shop.gate.veil.failure(failure)
        try:
            await self._shop.journal.fail(
                release,
                failure.reason,
                failure.message,
                now(),
                problems=failure.problems,
                detail=failure.detail,
                remember=isinstance(failure, Stalled),
            )
        except StoreUnusable:
            # Why it failed matters more than that it could not be written down.
            log.exception("a failure could not be written down", extra={"service": self.wanted.name})
        home = self._shop.folders.release(self.wanted.name, release)
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)


def _as_failure(error: BaseException) -> Failure:
    if isinstance(error, Failure):
        return error
    if isinstance(error, asyncio.CancelledError):
        return Wait(Reason.SUPERSEDED, "a newer commit made it pointless")
    return Wait(Reason.START_FAILED, f"{type(error).__name__}: {error}")


def now() -> datetime:
    return datetime.now(UTC)
