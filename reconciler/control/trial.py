"""Releases that are started privately, looked at, and thrown away: for `check` and for `plan`.

The same steps and the same engine as for a release that will serve, but no journal, no gateway and no place of
anybody's. Everything it starts hangs on a lifeline that this process alone holds: however the process ends,
nothing of a trial stays.
"""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from reconciler.control.folders import Folders
from reconciler.control.places import in_repository
from reconciler.control.recipe import recipe
from reconciler.control.secrets import Secrets
from reconciler.control.wanted import Wanted
from reconciler.environment import Environments
from reconciler.model.failure import Failure
from reconciler.model.names import EnvironmentId, ReleaseId, WorkerId
from reconciler.model.progress import Progress, silent
from reconciler.source.tree import Tree
from reconciler.worker.crew import Crew
from reconciler.worker.engine import LocalEngine
from reconciler.worker.exit import Exit
from reconciler.worker.forked import Forked
from reconciler.worker.means import Means
from reconciler.worker.spec import ReleaseSpec, WorkerSockets
from reconciler.worker.zygotes import Nursery, Zygotes

AT_ONCE = 2 * (os.cpu_count() or 2)
OpenTree = Callable[[], Tree]


@dataclass(frozen=True, slots=True)
class TrialFolders(Folders):
    """Where a trial's code and output lie. Environments may be those of a platform that runs beside it."""

    environments: Path

    def python(self, environment: EnvironmentId) -> Path:
        return self.environments / environment / "bin" / "python"


class NoLedger:
    """Nobody has to find these workers again."""

    async def intend(self, worker: WorkerId, spec: ReleaseSpec, sockets: WorkerSockets, at: datetime) -> None:
        pass

    def forked(self, worker: WorkerId, process: Forked) -> None:
        pass

    def gone(self, worker: WorkerId, end: Exit) -> None:
        pass


class Trials:
    """Not more than a few at once start and run; the others wait."""

    def __init__(
        self,
        folders: TrialFolders,
        environments: Environments,
        engine: LocalEngine,
        secrets: Secrets,
        preparing: Counter[EnvironmentId] | None = None,
    ) -> None:
        self.folders = folders
        self._environments = environments
        self._engine = engine
        self._secrets = secrets
        self._preparing = preparing if preparing is not None else Counter()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._numbers = iter(range(1, 1 << 30))

    @asynccontextmanager
    async def start(self, wanted: Wanted, open_tree: OpenTree, say: Progress = silent) -> AsyncIterator[Crew]:
        """A crew that is ready, until the block is left. Raises what is wrong with the service."""
        wanted = self._secrets.pinned(wanted)
        release = ReleaseId(f"{wanted.name}-{next(self._numbers)}")
        home = self.folders.release(wanted.name, release)
        async with self._room:
            lock = await self._environments.lock(wanted.requirements, say)
            self._preparing[lock.id] += 1
            try:
                await self._environments.build(lock, say)
                await self._write(wanted, home, open_tree)
                say("starting")
                crew = await self._bring_up(wanted, release, lock.id)
                try:
                    yield crew
                finally:
                    await asyncio.shield(crew.discard())
            finally:
                self._preparing[lock.id] -= 1
                await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)

    async def _write(self, wanted: Wanted, home: Path, open_tree: OpenTree) -> None:
        self.folders.home(wanted.name).mkdir(parents=True, exist_ok=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        writing = asyncio.ensure_future(asyncio.to_thread(open_tree().write, wanted.folder, home, wanted.watched))
        try:
            await asyncio.shield(writing)
        finally:
            # A thread cannot be cancelled: wait for it, so that it does not write into what is being removed.
            await asyncio.wait([writing])

    async def _bring_up(self, wanted: Wanted, release: ReleaseId, environment: EnvironmentId) -> Crew:
        spec = replace(recipe(wanted).spec(release, environment, self.folders), replicas=1)
        try:
            return await self._engine.start(spec, candidate=True)
        except Failure as failure:
            self._secrets.veil.failure(failure)
            in_repository(failure, wanted.folder, self.folders.release(wanted.name, release))
            raise


@asynccontextmanager
async def trials(
    folders: TrialFolders,
    environments: Environments,
    secrets: Secrets,
    preparing: Counter[EnvironmentId] | None = None,
) -> AsyncIterator[Trials]:
    """A place to try releases in; when it is left, every process it started has ended.

    `preparing` counts who needs an environment, for whoever removes those that nobody needs.
    """
    folders.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    lifeline, held = os.pipe()
    zygotes = Zygotes(Nursery(folders.run, folders.own_log, lifeline), mend=environments.rebuild)
    try:
        engine = LocalEngine(Means(zygotes, NoLedger(), partial(WorkerSockets.fresh, folders.run), secrets.reveal))
        yield Trials(folders, environments, engine, secrets, preparing)
    finally:
        os.close(held)
        await asyncio.shield(zygotes.ended())
        os.close(lifeline)
        with suppress(OSError):
            shutil.rmtree(folders.run)
