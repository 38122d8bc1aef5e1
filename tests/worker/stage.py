"""Crews of real workers out of real zygotes, in a folder of their own; and a ledger that can be read."""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from reconciler.model.failure import Reason, Wait
from reconciler.model.names import EnvironmentId, ReleaseId, ServiceName, WorkerId
from reconciler.model.pinned_secret import PinnedSecret
from reconciler.worker.crew import Crew
from reconciler.worker.exit import Exit
from reconciler.worker.forked import Forked
from reconciler.worker.means import Means
from reconciler.worker.numbers import Numbers
from reconciler.worker.spec import ReleaseSpec, WorkerSockets
from reconciler.worker.zygotes import Nursery, Zygotes

GOOD = "from fastapi import APIRouter\nrouter = APIRouter()\n"


@dataclass
class Book:
    """A ledger that can be read, and that fails when it is told to."""

    intended: list[WorkerId] = field(default_factory=list)
    processes: list[Forked] = field(default_factory=list)
    ended: list[WorkerId] = field(default_factory=list)
    is_full: bool = False

    async def intend(self, worker: WorkerId, _spec: ReleaseSpec, _sockets: WorkerSockets, _at: datetime) -> None:
        if self.is_full:
            raise OSError("the disk is full")
        self.intended.append(worker)

    def forked(self, _worker: WorkerId, process: Forked) -> None:
        self.processes.append(process)

    def gone(self, worker: WorkerId, _end: Exit) -> None:
        self.ended.append(worker)


class Place:
    def __init__(self, folder: Path, run: Path, lifeline: int) -> None:
        self.folder, self.run = folder, run
        self.zygotes = Zygotes(Nursery(run, folder / "logs", lifeline))
        self.book = Book()
        self.values: dict[str, str] = {}
        """Secrets, for those that are pinned."""

    @property
    def means(self) -> Means:
        return Means(self.zygotes, self.book, partial(WorkerSockets.fresh, self.run), self.reveal)

    def crew(
        self, source: str, *, python: Path = Path(sys.executable), timeout: float = 20.0, secrets: Sequence[str] = ()
    ) -> Crew:
        code = self.folder / f"code-{time.monotonic_ns()}"
        code.mkdir()
        (code / "router.py").write_text(source)
        spec = ReleaseSpec(
            release=ReleaseId("tasks-1"),
            service=ServiceName("tasks"),
            revision="main@sha1:0",
            environment=EnvironmentId("e" * 32),
            python=python,
            code=code,
            entry="router:router",
            prefix="/api/tasks",
            output=self.folder / "output",
            start_timeout=timeout,
            pinned=tuple(PinnedSecret(name, f"store:{name}", "1") for name in secrets),
        )
        return Crew(spec, self.means, Numbers())

    async def reveal(self, pinned: Iterable[PinnedSecret]) -> Mapping[str, str]:
        try:
            return {one.name: self.values[one.name] for one in pinned}
        except KeyError as error:
            raise Wait(Reason.SECRET_MISSING, f"there is no secret {error}") from error

    async def warm(self) -> int:
        """The pid of a zygote that can fork at once."""
        crew = self.crew(GOOD)
        await crew.start()
        await crew.discard()
        self.book.processes.clear()
        zygote = await self.zygotes.of(crew.spec.environment, crew.spec.python)
        assert zygote._process is not None
        return zygote._process.pid


def scene(scenario: Callable[[Place], Awaitable[None]]) -> None:
    async def play() -> None:
        async with _place() as place:
            await scenario(place)

    asyncio.run(play())


@contextlib.asynccontextmanager
async def _place() -> AsyncIterator[Place]:
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory(prefix="rcl-") as folder:
        place = Place(Path(folder), Path(folder), reader)
        try:
            yield place
        finally:
            os.close(writer)
            await place.zygotes.ended()
            os.close(reader)
