"""A lock to an environment: made in a temporary folder, looked through, then named by one rename.

So a crash leaves a temporary folder and never half an environment. Files are copied and not linked from
the cache: with a hard link one service could change the code of another. What can wait, waits: byte code is
compiled and the disk is flushed after the environment is in use.
"""

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from reconciler.environment.command import Bounds, Ran, run
from reconciler.environment.explanation import explain
from reconciler.environment.failures import Killed
from reconciler.environment.inspection import Skeleton, inspect, skeleton
from reconciler.environment.interpreter import Interpreter
from reconciler.environment.lock import Lock, building
from reconciler.environment.shared import Shared
from reconciler.environment.uv import Uv
from reconciler.model.failure import Failure, Reason, Stalled
from reconciler.model.names import EnvironmentId
from reconciler.model.progress import Progress, silent

SIDE_BY_SIDE = 2
COMPILER = 1024**3
"""Octets of memory: a module can be written to need more than the machine has."""
MARKER = "service.lock"
MADE, SETTLED = ".made", ".settled"
"""The boot in which it was made, and whether it has been flushed to the disk since."""
TEMPORARY = ".tmp"
OnBuilt = Callable[[Literal["built", "failed"], float], object]


@dataclass(frozen=True, slots=True)
class Environment:
    id: EnvironmentId
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"


@dataclass(slots=True)
class Builds:
    folder: Path
    uv: Uv
    interpreter: Interpreter
    trusted: Collection[str] = ()
    """Packages that may run code of theirs outside a worker."""
    on_built: OnBuilt = lambda _outcome, _seconds: None
    """Told of each that was made, or could not be, and how long that took."""
    _known: dict[EnvironmentId, Environment] = field(default_factory=dict)
    _shared: Shared[Environment] = field(default_factory=Shared)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SIDE_BY_SIDE))
    _settling: dict[EnvironmentId, asyncio.Task[None]] = field(default_factory=dict)

    async def build(self, lock: Lock, progress: Progress) -> Environment:
        known = self._known.get(lock.id)
        if known is not None and _starts(known):
            return known
        return await self._shared.join(lock.id, partial(self._find_or_make, lock), progress)

    async def rebuild(self, lock: Lock) -> Environment:
        return await self._shared.join(lock.id, partial(self._make_again, lock), silent)

    async def collect(self, needed: Callable[[EnvironmentId], bool]) -> tuple[EnvironmentId, ...]:
        """Remove what nobody needs, save for what is being built. Asked anew for each, since removing takes a while."""
        names = sorted(entry.name for entry in os.scandir(self.folder) if not _is_temporary(entry.name))
        gone = []
        for name in map(EnvironmentId, names):
            if name not in self._shared and not needed(name):
                await self._remove(name)
                gone.append(name)
        return tuple(gone)

    async def open(self) -> None:
        """Remove what crashed builds left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        left = [entry.path for entry in os.scandir(self.folder) if _is_temporary(entry.name)]
        for path in left:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    async def close(self) -> None:
        await self._shared.close()
        for task in list(self._settling.values()):
            task.cancel()
        await asyncio.gather(*self._settling.values(), return_exceptions=True)

    async def settled(self) -> None:
        """Wait for what goes on behind an environment that is already in use."""
        await asyncio.gather(*self._settling.values())

    async def _find_or_make(self, lock: Lock, progress: Progress) -> Environment:
        environment = Environment(lock.id, self.folder / lock.id)
        if not _is_whole(environment):
            return await self._make_again(lock, progress)
        self._known[lock.id] = environment
        self._settle_later(environment)
        return environment

    async def _make_again(self, lock: Lock, progress: Progress) -> Environment:
        environment = Environment(lock.id, self.folder / lock.id)
        async with self._slots:
            with self._timed():
                await self._make(lock, environment, progress)
        self._known[lock.id] = environment
        self._settle_later(environment)
        return environment

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Nobody is told of what was given up."""
        began = time.perf_counter()
        try:
            yield
        except Exception:
            self.on_built("failed", time.perf_counter() - began)
            raise
        self.on_built("built", time.perf_counter() - began)

    async def _make(self, lock: Lock, environment: Environment, progress: Progress) -> None:
        if os.path.lexists(environment.folder):
            await self._remove(environment.id)
        try:
            await self._attempt(lock, environment, progress)
        except Killed:
            await self._attempt(lock, environment, progress)

    async def _attempt(self, lock: Lock, environment: Environment, progress: Progress) -> None:
        temporary = self.folder / f"{lock.id}.{secrets.token_hex(4)}{TEMPORARY}"
        try:
            before = await self._install(lock, temporary, progress)
            await self._inspect(lock, temporary, before)
            (temporary / MADE).write_text(_boot())
            temporary.rename(environment.folder)
        finally:
            if temporary.exists():
                await asyncio.to_thread(shutil.rmtree, temporary, ignore_errors=True)

    async def _install(self, lock: Lock, folder: Path, progress: Progress) -> Skeleton:
        """From the cache first: everything is pinned and hashed, so it cannot answer wrongly, and it may be alone."""
        try:
            return await self._install_from(lock, folder, progress, "--offline")
        except Killed:
            raise
        except Failure:
            return await self._install_from(lock, folder, progress)

    async def _install_from(self, lock: Lock, folder: Path, progress: Progress, *where: str) -> Skeleton:
        """From nothing each time: uv asks the environment's Python about itself, which would run what a wheel left."""
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await self._run("venv", "--relocatable", "--python", str(self.interpreter.program), str(folder), lock=lock)
        before = skeleton(folder)
        (folder / MARKER).write_text(lock.text)
        wanted = ("--require-hashes", "--link-mode=copy", "--python", str(folder / "bin" / "python"))
        arguments = ("pip", "sync", *wanted, *building(lock.built), *self.uv.sources(), str(folder / MARKER), *where)
        await self._run(*arguments, lock=lock, progress=progress)
        return before

    async def _run(self, *arguments: str, lock: Lock, progress: Progress = silent) -> None:
        ran = await self.uv.run(*arguments, progress=progress)
        if ran.code != 0:
            raise self._explained(ran, lock)

    async def _inspect(self, lock: Lock, folder: Path, before: Skeleton) -> None:
        problems = await asyncio.to_thread(inspect, folder, before, self.trusted)
        if problems:
            raise Stalled(Reason.REQUIREMENTS_FAILED, problems[0].message, problems=problems)

    def _explained(self, ran: Ran, lock: Lock) -> Failure:
        places = {**self.uv.places, **self.interpreter.places, str(self.folder): "environments"}
        return explain(ran, lock.requirements, self.interpreter.version, places).failure

    def _settle_later(self, environment: Environment) -> None:
        if environment.id not in self._settling and not (environment.folder / SETTLED).exists():
            task = asyncio.create_task(self._settle(environment))
            self._settling[environment.id] = task
            task.add_done_callback(lambda _: self._settling.pop(environment.id, None))

    async def _settle(self, environment: Environment) -> None:
        """Compile by the platform's own Python without `site`, so that nothing of the packages runs."""
        python = str(self.interpreter.program)
        command = (python, "-I", "-S", "-m", "compileall", "-q", str(environment.folder / "lib"))
        bounds = Bounds(nice=19, memory=COMPILER, spare=self.uv.bounds.spare)
        with suppress(Failure, OSError):
            await run(command, environ={}, folder=environment.folder, bounds=bounds)
            await asyncio.to_thread(os.sync)
            (environment.folder / SETTLED).touch()

    async def _remove(self, name: EnvironmentId) -> None:
        """Out of sight first, before anybody else gets a turn to find it."""
        self._known.pop(name, None)
        aside = self.folder / f"{name}.{secrets.token_hex(4)}{TEMPORARY}"
        (self.folder / name).rename(aside)
        if (settling := self._settling.get(name)) is not None:
            settling.cancel()
            await asyncio.wait({settling})
        await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)


def _starts(environment: Environment) -> bool:
    """One look: the interpreter is a link, and what it points at may have been upgraded away."""
    try:
        environment.python.stat()
    except OSError:
        return False
    return True


def _is_whole(environment: Environment) -> bool:
    """A rename may outlive a power failure that the files did not: trust those flushed, or made since the last boot."""
    folder = environment.folder
    if not (folder / MADE).exists() or not _starts(environment):
        return False
    return (folder / SETTLED).exists() or (folder / MADE).read_text() == _boot()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _is_temporary(name: str) -> bool:
    return name.endswith(TEMPORARY)
