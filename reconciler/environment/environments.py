"""The front door: requirements to a lock, a lock to an environment, and away with what nobody needs."""

import asyncio
import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.environment.base import BASE
from reconciler.environment.build import Builds, Environment, OnBuilt
from reconciler.environment.command import Bounds
from reconciler.environment.failures import disk_full
from reconciler.environment.interpreter import Interpreter, our_own
from reconciler.environment.lock import Lock, Locks
from reconciler.environment.uv import Uv
from reconciler.model.names import EnvironmentId
from reconciler.model.progress import Progress, silent
from reconciler.model.requirement import Requirements


class Environments:
    """What of them is under `data`, and the uv that fills it. One process at a time may have a `data` folder.

    `indexes` and `allow_builds` are the operator's. `base` is what every environment holds besides.
    """

    def __init__(
        self,
        data: Path,
        *,
        indexes: tuple[str, ...] = (),
        allow_builds: tuple[str, ...] = (),
        base: Requirements = BASE,
        uv: Path | None = None,
        interpreter: Interpreter | None = None,
        bounds: Bounds = Bounds(),  # noqa: B008 - frozen
        retries: int = 3,
    ) -> None:
        data = data.absolute()
        python = self._python = interpreter or our_own()
        self._uv = Uv(data / "cache", indexes, uv, bounds, retries)
        self._locks = Locks(data / "locks", self._uv, python, base, allow_builds)
        self._builds = Builds(data / "environments", self._uv, python, allow_builds)

    def tell_builds(self, on_built: OnBuilt) -> None:
        """From now on say when an environment was made, or could not be, and how long that took."""
        self._builds.on_built = on_built

    async def open(self) -> None:
        """Make the folders and remove what a crash left. Once, before anything else."""
        with _disk_troubles():
            self._uv.open()
            self._locks.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            await self._builds.open()

    async def lock(self, requirements: Requirements, progress: Progress = silent, *, fresh: bool = False) -> Lock:
        """The packages for these requirements, as they were resolved the first time; `fresh` asks anew."""
        with _disk_troubles():
            return await self._locks.lock(requirements, progress, fresh=fresh)

    async def lock_text(self, requirements: Requirements, progress: Progress = silent) -> str:
        """What `reconciler lock` writes to a service.lock: today's packages, with hashes."""
        lock = await self.lock(requirements, progress, fresh=True)
        world = f"Python {self._python.series} on {self._python.platform}"
        head = f"# Written by `reconciler lock` for {world}. Change the requirements instead, then run it again."
        return f"{head}\n{lock.text}"

    async def build(self, lock: Lock, progress: Progress = silent) -> Environment:
        """The environment with these packages: at once when it is there, and made only once however many ask."""
        with _disk_troubles():
            return await self._builds.build(lock, progress)

    async def rebuild(self, environment: EnvironmentId) -> None:
        """Make it anew from what it was made from: it is there, and does not work."""
        with _disk_troubles():
            await self._builds.rebuild(self._locks.of(environment))

    async def collect(self, needed: Callable[[EnvironmentId], bool]) -> tuple[EnvironmentId, ...]:
        """Remove the environments that nobody needs; a release that is still being prepared needs its own too."""
        return await self._builds.collect(needed)

    async def prune(self) -> None:
        """Bound what is only there to be quick: the cache of uv, and resolutions that nobody used for long."""
        with _disk_troubles():
            await self._uv.run("cache", "prune")
            made = {environment.name for environment in self._builds.folder.iterdir()}
            await asyncio.to_thread(self._locks.prune, made)

    async def settled(self) -> None:
        """Wait until environments in use are compiled and flushed."""
        await self._builds.settled()

    async def close(self) -> None:
        """Give up whatever is under way."""
        await self._locks.close()
        await self._builds.close()


@contextmanager
def _disk_troubles() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full() from error
        raise
