"""Cron with a real journal, one control after the other over it, and a clock that goes as the test wants.

Only time and the service are not real: what is carried out is noted instead.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.control.cron import Cron
from reconciler.control.cron.duty import Duty
from reconciler.control.cron.performance import NotBegun
from reconciler.model.job import Job
from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.notice import Kind
from reconciler.model.run import Outcome, RunState
from reconciler.store.journal import Journal
from reconciler.store.rows import RunRow
from reconciler.store.unusable import StoreUnusable
from tests.cron.test_timetable import job
from tests.waiting import until

TASKS, REPORTS = ServiceName("tasks"), ServiceName("reports")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
EACH_MINUTE = job()
EACH_HOUR = job("0 * * * *")


class Clock:
    """Also APScheduler's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = NOON + timedelta(seconds=30)
        clock = self

        class Simulated(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return clock.time.astimezone(tz)

        monkeypatch.setattr("apscheduler.schedulers.base.datetime", Simulated)
        monkeypatch.setattr("reconciler.control.cron.alarm.datetime", Simulated)
        monkeypatch.setattr(
            "reconciler.control.cron.alarm.time", SimpleNamespace(monotonic=self._elapsed, time=self._wall)
        )
        self.elapsed = 0.0

    def __call__(self) -> datetime:
        return self.time

    def _wall(self) -> float:
        return self.time.timestamp()

    def _elapsed(self) -> float:
        return self.elapsed

    def passes(self, by: timedelta) -> None:
        self.time += by
        self.elapsed += by.total_seconds()

    def is_set(self, by: timedelta) -> None:
        self.time += by


@dataclass
class Account:
    events: list[tuple[Kind, str]] = field(default_factory=list)

    def happened(self, kind: Kind, message: str, release: Any = None, *, data: Any = None) -> None:
        self.events.append((kind, message))

    def passes(self, kind: Kind, message: str, *, data: Any = None) -> None:
        pass


class Disk:
    """The journal as cron sees it: nothing can be written while it is full, or when the process was killed."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.is_full = False
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name) if not self.is_full else _lost if name == "later" else self._refuse

    async def _refuse(self, *_: object, **__: object) -> None:
        self.refused += 1
        raise StoreUnusable("the disk is full", "make room")


def _lost(_: object) -> None:
    """Nobody hears of it."""


@dataclass
class World:
    """One control after the other over the same journal."""

    path: Path
    clock: Clock
    account: Account = field(default_factory=Account)
    done: list[tuple[str, str]] = field(default_factory=list)
    """Scheduled time and release of everything that was carried out."""
    held: asyncio.Event | None = None
    release: str = "tasks-1"
    bug: Exception | None = None
    """What carrying out a run stumbles over."""
    begins: Callable[[str], object] = len
    """Hears of every run that is carried out."""
    leaving: str | None = None
    """A release that loses the traffic before it can be asked for anything."""

    async def perform(self, job: Job, run: RunRow, live: Any, serves: Callable[[], bool]) -> Outcome:
        if self.bug is not None:
            raise self.bug
        if self.leaving == live.release:
            await until(lambda: not serves(), what="the release that takes over")
            raise NotBegun
        self.begins(run.id)
        self.done.append((f"{run.scheduled_at:%d %H:%M}", live.release))
        if self.held is not None:
            await self.held.wait()
        return Outcome(RunState.DONE, "answered 200")

    @contextlib.asynccontextmanager
    async def control(self, *jobs: Job) -> AsyncIterator["Control"]:
        journal = Journal(self.path)
        await journal.open()
        disk: Any = Disk(journal)
        cron = Cron(disk, clock=self.clock, perform=self.perform)
        control = Control(self, journal, disk, cron)
        try:
            await cron.open()
            control.follow(*jobs)
            cron.begin()
            await control.settled()
            yield control
        finally:
            disk.is_full = True
            await control.is_gone()
            await journal.close()

    @property
    def times(self) -> list[str]:
        return [at for at, _ in self.done]


@dataclass
class Control:
    world: World
    journal: Journal
    disk: Disk
    cron: Cron

    def duty(self, name: str = "tidy") -> Duty:
        return next(duty for duty, _ in self.cron.duties(TASKS) if duty.job.name == name)

    async def is_gone(self) -> None:
        """Killed: whatever it was about to write is lost."""
        self.cron.rest()
        course = self.cron._course
        while tasks := tuple(course._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.01)
        if course._book._writing is not None:
            course._book._writing.cancel()

    def follow(self, *jobs: Job, service: ServiceName = TASKS) -> None:
        recipe = SimpleNamespace(service=service, jobs=jobs)
        live: Any = SimpleNamespace(recipe=recipe, release=ReleaseId(self.world.release), crew=object())
        account: Any = self.world.account
        self.cron.follow(live, account)

    async def settled(self) -> None:
        """Until nobody does anything but what is held, and that is written down."""
        await until(lambda: not self._busy(), what="rest")
        writing = self.cron._course._book._writing
        await until(lambda: writing is None or writing.done(), what="what is written down together")
        await self.journal.services()

    def _busy(self) -> bool:
        held = self.world.held
        is_held = held is not None and not held.is_set() and self.world.done
        going = sum(duty.running is not None for duty, _ in self.cron.duties(TASKS)) if is_held else 0
        return len(self.cron._course._tasks) > going

    async def passes(self, by: timedelta) -> None:
        """Time goes by, and the scheduler wakes."""
        self.world.clock.passes(by)
        await self.woken()

    async def woken(self) -> None:
        self.cron._alarm._scheduler.wakeup()
        # The scheduler, its executor, the bell and the look have a turn of the loop each.
        for _ in range(5):
            await asyncio.sleep(0)
        await self.settled()

    async def runs(self) -> list[tuple[str, RunState]]:
        page = await self.journal.runs(TASKS, limit=500)
        return [(f"{run.scheduled_at:%d %H:%M}", run.state) for run in reversed(page.items)]


def play(world: World, scenario: Callable[[World], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(world), 30))
