"""One service as control sees it: its stage over a real journal, and a gateway that writes down what it is told.

Only the workers are pictures, so that a test says when one of them dies.
"""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from reconciler.control.account import Account
from reconciler.control.feed import Feed
from reconciler.control.live import Live
from reconciler.control.recipe import Recipe
from reconciler.control.stage import Stage
from reconciler.control.traffic import Traffic
from reconciler.control.veil import Veil
from reconciler.gateway.client import SOCKET_NAME
from reconciler.model.names import EnvironmentId, ReleaseId, ServiceName, WorkerId
from reconciler.model.watch import Answers
from reconciler.store.journal import Journal
from reconciler.worker.crew import CRASHES, Crew
from reconciler.worker.means import Means
from reconciler.worker.numbers import Numbers
from reconciler.worker.spec import Limits, ReleaseSpec, WorkerSockets
from reconciler.worker.worker import Worker
from tests.store.journals import ON_THE_WAY, code, in_journal

TASKS = ServiceName("tasks")
PREFIX = "/api/tasks"
NOBODY: Any = None


class Picture(Crew):
    """A crew of one worker that is ready, and of which nobody knows better."""

    def __init__(self, release: ReleaseId, prefix: str) -> None:
        nowhere = Path("nowhere")
        spec = ReleaseSpec(
            release=release,
            service=TASKS,
            revision="main@sha1:0",
            environment=EnvironmentId("e" * 32),
            python=nowhere,
            code=nowhere,
            entry="router:router",
            prefix=prefix,
            output=nowhere,
        )
        super().__init__(spec, Means(NOBODY, NOBODY, NOBODY, NOBODY), Numbers())
        sockets = WorkerSockets(nowhere, nowhere)
        self.workers = [Worker(WorkerId(f"{release}.1"), release, sockets, 0, "", state="ready")]
        self.asked: list[str] = []

    def dies(self) -> None:
        """Its worker, and another takes the place."""
        self.crashes.append(0.0)
        self.on_change(self)

    def keeps_dying(self) -> None:
        """Its worker, and all that took the place; the next one has to wait."""
        self.workers.clear()
        for _ in range(CRASHES):
            self._count_crash()

    def is_back(self) -> None:
        self.workers = [Worker(WorkerId(f"{self.spec.release}.9"), self.spec.release, NOBODY, 0, "", state="ready")]
        self.on_change(self)

    def park(self) -> None:
        self.asked.append("park")

    def resume(self) -> None:
        self.asked.append("resume")

    def retire(self) -> Coroutine[Any, Any, list[Worker]]:
        self.asked.append("retire")
        return self._nobody()

    async def discard(self) -> None:
        self.asked.append("discard")

    async def answers(self) -> Answers:
        return Answers()

    async def withdrawn(self) -> None:
        """Nobody waits here."""

    async def _nobody(self) -> list[Worker]:
        return []


class Gateway:
    """Obeys everything at once, and remembers the routes."""

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}

    def at(self, prefix: str) -> str | None:
        """Which release serves there, or why none does."""
        route = self.routes.get(prefix)
        return (route.get("release") or route.get("code")) if route else None

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            told = json.loads(line)
            match told["op"]:
                case "table":
                    self.routes = dict(told["routes"])
                case "route" if told["route"] is None:
                    self.routes.pop(told["prefix"], None)
                case "route":
                    self.routes[told["prefix"]] = told["route"]
            writer.write(json.dumps({"id": told["id"], "failed": []}).encode() + b"\n")
        writer.close()


@dataclass
class Scene:
    journal: Journal
    traffic: Traffic
    gateway: Gateway
    account: Account
    stage: Stage
    without_jobs: list[ServiceName]
    """Services whose jobs were forgotten."""
    crews: dict[ReleaseId, Picture] = field(default_factory=dict)

    async def serving(self) -> Live:
        """A release that has the traffic."""
        live = await self.proved("a")
        await self.journal.switch(TASKS, live.release, live.since)
        self.stage.restore(live, (), None, 0.0)
        await self.traffic.point(self.stage.prefix, live.crew)
        return live

    async def proved(self, letter: str = "b", prefix: str = PREFIX) -> Live:
        """Another that nobody met yet."""
        ingredients, now = code(letter), datetime.now(UTC)
        made = Recipe(
            service=TASKS,
            description=None,
            folder="services/tasks",
            watched=(),
            prefix=prefix,
            entry="router:router",
            env={},
            replicas=1,
            drain=1.0,
            start_timeout=1.0,
            request_timeout=1.0,
            limits=Limits(),
            revision="main@sha1:0",
        )
        release = await self.journal.begin_release(TASKS, ingredients, "main@sha1:0", None, made.to_plain(), now)
        for phase in ON_THE_WAY:
            await self.journal.advance(release, phase, now)
        crew = self.crews[release] = Picture(release, prefix)
        return Live(release, ingredients, made, EnvironmentId("e" * 32), {}, crew, now, now)

    async def told(self) -> None:
        """Wait until the gateway has heard all that was said so far."""
        await self.traffic.stats()

    def asked(self, live: Live) -> list[str]:
        """What its workers were asked, in this order."""
        return self.crews[live.release].asked


def on_stage(folder: Path, scenario: Callable[[Scene], Awaitable[None]]) -> None:
    async def play(journal: Journal) -> None:
        # Short: a Unix socket's path has room for a hundred bytes.
        with tempfile.TemporaryDirectory(prefix="rcl-") as run:
            gateway, traffic = Gateway(), Traffic(Path(run))
            server = await asyncio.start_unix_server(gateway.converse, str(Path(run) / SOCKET_NAME))
            await traffic.open({})
            account = Account(TASKS, journal, Feed(journal, Veil()))
            without_jobs: list[ServiceName] = []
            cron: Any = SimpleNamespace(follow=lambda live, account: None, forget=without_jobs.append)
            stage = Stage(account, PREFIX, journal, traffic, cron)
            scene = Scene(journal, traffic, gateway, account, stage, without_jobs)
            try:
                await scenario(scene)
            finally:
                await scene.stage.stop()
                await scene.stage.settle()
                await traffic.leave()
                server.close()

    in_journal(folder / "journal.db", play)
