"""Cron with a real journal and a simulated clock: what runs, what does not, and what is told of it."""

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
from reconciler.control.cron.alarm import SLEEPS_AT_MOST
from reconciler.model.job import Job
from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.notice import Kind
from reconciler.model.refusal import Refusal
from reconciler.model.run import Cause, Outcome, RunState
from reconciler.store.journal import Journal
from reconciler.store.rows import RunRow
from reconciler.store.unusable import StoreUnusable
from tests.cron.test_timetable import job
from tests.waiting import until

TASKS = ServiceName("tasks")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)


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

    async def perform(self, job: Job, run: RunRow, live: Any, serves: Callable[[], bool]) -> Outcome:
        self.done.append((f"{run.scheduled_at:%d %H:%M}", live.release))
        if self.held is not None:
            await self.held.wait()
        return Outcome(RunState.DONE, "answered 200")

    @contextlib.asynccontextmanager
    async def control(self, *jobs: Job) -> AsyncIterator["Control"]:
        journal = Journal(self.path)
        await journal.open()
        cron = Cron(journal, clock=self.clock, perform=self.perform)
        control = Control(self, journal, cron)
        try:
            await cron.open()
            control.follow(*jobs)
            cron.begin()
            await control.settled()
            yield control
        finally:
            cron.rest()
            for task in tuple(cron._tasks):
                task.cancel()
            await asyncio.gather(*cron._tasks, return_exceptions=True)
            await journal.close()

    @property
    def times(self) -> list[str]:
        return [at for at, _ in self.done]


@dataclass
class Control:
    world: World
    journal: Journal
    cron: Cron

    def follow(self, *jobs: Job) -> None:
        recipe = SimpleNamespace(service=TASKS, jobs=jobs)
        live: Any = SimpleNamespace(recipe=recipe, release=ReleaseId(self.world.release), crew=object())
        account: Any = self.world.account
        self.cron.follow(live, account)

    async def settled(self) -> None:
        """Until nobody does anything but what is held."""
        await until(lambda: not self._busy(), what="rest")
        await self.journal.services()

    def _busy(self) -> bool:
        held = self.world.held
        is_held = held is not None and not held.is_set() and self.world.done
        going = sum(duty.running is not None for duty in self.cron._duties.values()) if is_held else 0
        return len(self.cron._tasks) > going

    async def passes(self, by: timedelta) -> None:
        """Time goes by, and the scheduler wakes."""
        self.world.clock.passes(by)
        await self.woken()

    async def woken(self) -> None:
        self.cron._alarm._scheduler.wakeup()
        for _ in range(5):
            await asyncio.sleep(0)
        await self.settled()
        await asyncio.sleep(0.01)
        await self.settled()

    async def runs(self) -> list[tuple[str, RunState]]:
        page = await self.journal.runs(TASKS, limit=500)
        return [(f"{run.scheduled_at:%d %H:%M}", run.state) for run in reversed(page.items)]


def play(world: World, scenario: Callable[[World], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(world), 30))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path / "journal.db", Clock(monkeypatch))


EACH_MINUTE = job()
EACH_HOUR = job("0 * * * *")


def test_a_job_runs_at_its_times_and_once_each(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            assert world.done == []
            for _ in range(4):
                await control.passes(timedelta(seconds=15))
            await control.passes(MINUTE)
            assert world.times == ["20 12:01", "20 12:02"]
            assert await control.runs() == [("20 12:01", RunState.DONE), ("20 12:02", RunState.DONE)]
            (told, following), *_ = control.cron.duties(TASKS)
            assert following == NOON + 3 * MINUTE
            assert [run.cause for run in told.last] == [Cause.SCHEDULE, Cause.SCHEDULE]

    play(world, scenario)


def test_three_hours_down_with_a_job_each_minute(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE):
            pass
        world.clock.passes(3 * HOUR)
        async with world.control(EACH_MINUTE) as control:
            assert world.times == ["20 15:00"]
            assert world.account.events == [(Kind.RUNS_MISSED, "179 times were missed by tidy, 1 made good")]
            assert control.cron.duties(TASKS)[0][0].missed == 179
        async with world.control(EACH_MINUTE) as control:
            assert control.cron.duties(TASKS)[0][0].missed == 179
        assert world.times == ["20 15:00"], "a further start makes nothing good again"

    play(world, scenario)


@pytest.mark.parametrize(("catch_up", "expected"), [("none", []), ("all(2)", ["20 14:00", "20 15:00"])])
def test_what_is_made_good_comes_one_after_the_other(world: World, catch_up: str, expected: list[str]) -> None:
    hourly = job("0 * * * *", catch_up=catch_up)

    async def scenario(world: World) -> None:
        async with world.control(hourly):
            pass
        world.clock.passes(3 * HOUR + MINUTE)
        world.held = asyncio.Event()
        async with world.control(hourly) as control:
            assert world.times == expected[:1]
            world.held.set()
            await control.settled()
            assert world.times == expected
            assert {state for _, state in await control.runs()} <= {RunState.DONE}

    play(world, scenario)


def test_the_clock_set_a_day_forward_and_back(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_HOUR) as control:
            await control.passes(HOUR)
            world.clock.is_set(DAY)
            await control.passes(timedelta(seconds=SLEEPS_AT_MOST))
            assert world.times == ["20 13:00", "21 13:00"]
            await control.passes(HOUR)
            assert world.times[2:] == ["21 14:00"]
            world.clock.is_set(-DAY)
            await control.passes(timedelta(seconds=SLEEPS_AT_MOST))
            assert world.times[3:] == [], "what was is not again"
            assert control.cron.duties(TASKS)[0][1] == NOON + 3 * HOUR
            for _ in range(27):
                await control.passes(HOUR)
            # The day comes again; the two times of it that ran already do not.
            assert world.times[3:] == [f"20 {hour}:00" for hour in range(15, 24)] + [
                f"21 {hour:02}:00" for hour in (*range(13), 15, 16, 17)
            ]
            assert len(set(world.times)) == len(world.times)

    play(world, scenario)


def test_a_clock_that_goes_back_while_control_is_away_repeats_nothing(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            await control.passes(3 * MINUTE)
        world.clock.is_set(-2 * MINUTE)
        async with world.control(EACH_MINUTE) as control:
            for _ in range(4):
                await control.passes(MINUTE)
        assert len(set(world.times)) == len(world.times)
        assert world.times[-1] == "20 12:05"

    play(world, scenario)


@pytest.mark.parametrize(("overlap", "state"), [("skip", RunState.SKIPPED), ("queue", RunState.QUEUED)])
def test_a_run_that_is_longer_than_its_interval(world: World, overlap: str, state: RunState) -> None:
    each = job(overlap=overlap)

    async def scenario(world: World) -> None:
        world.held = asyncio.Event()
        async with world.control(each) as control:
            await control.passes(MINUTE)
            await control.passes(MINUTE)
            await control.passes(MINUTE)
            assert world.times == ["20 12:01"]
            assert await control.runs() == [
                ("20 12:01", RunState.RUNNING),
                ("20 12:02", state),
                ("20 12:03", RunState.SKIPPED),
            ]
            world.held.set()
            await control.settled()
            await control.passes(MINUTE)
            assert world.times[1:] == (["20 12:04"] if overlap == "skip" else ["20 12:02", "20 12:04"])
            skipped = [message for kind, message in world.account.events if kind is Kind.RUN_SKIPPED]
            assert skipped == ["tidy skipped: the run before was still going"], "once, however many there are"

    play(world, scenario)


def test_a_deploy_at_the_firing_second_is_one_run(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            world.clock.passes(timedelta(seconds=30))
            control.cron._alarm._scheduler.wakeup()
            world.release = "tasks-2"
            control.follow(EACH_MINUTE)
            await control.woken()
            control.follow(EACH_MINUTE)
            await control.woken()
            assert world.times == ["20 12:01"]
            (run,) = (await control.journal.runs(TASKS)).items
            assert run.release == world.done[0][1] == "tasks-2"

    play(world, scenario)


def test_another_schedule_begins_now_and_has_no_past(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_HOUR) as control:
            await control.passes(timedelta(minutes=10))
            control.follow(job("*/5 * * * *"))
            await control.woken()
            assert world.times == []
            await control.passes(5 * MINUTE)
            assert world.times == ["20 12:15"]

    play(world, scenario)


def test_a_job_that_vanishes_keeps_its_history_and_returns_without_a_past(world: World) -> None:
    other = job("0 0 1 1 *", name="other")

    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            await control.passes(MINUTE)
            control.follow(other)
            await control.passes(5 * MINUTE)
            assert world.times == ["20 12:01"]
            assert [duty.job.name for duty, _ in control.cron.duties(TASKS)] == ["other"]
            assert await control.runs() == [("20 12:01", RunState.DONE)]
        world.clock.passes(HOUR)
        async with world.control(other, EACH_MINUTE) as control:
            assert world.times == ["20 12:01"]
            await control.passes(MINUTE)
            assert world.times == ["20 12:01", "20 13:07"]

    play(world, scenario)


def test_nothing_runs_for_a_service_that_is_gone(world: World) -> None:
    queued = job(overlap="queue")

    async def scenario(world: World) -> None:
        world.held = asyncio.Event()
        async with world.control(queued) as control:
            await control.passes(MINUTE)
            await control.passes(MINUTE)
            control.cron.forget(TASKS)
            world.held.set()
            await control.settled()
            await control.passes(HOUR)
            assert world.times == ["20 12:01"]
            assert await control.runs() == [("20 12:01", RunState.DONE), ("20 12:02", RunState.SKIPPED)]
            assert control.cron.duties(TASKS) == []

    play(world, scenario)


@pytest.mark.parametrize("is_called", [False, True], ids=["before the call", "before the result"])
def test_a_control_that_is_killed_leaves_a_run_unknown_and_never_repeats_it(world: World, is_called: bool) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            world.clock.passes(MINUTE)
            settled = NOON + MINUTE
            run = control.cron._duties[TASKS, "tidy"].reserve(settled, Cause.SCHEDULE, settled)
            await control.journal.settle_job(TASKS, "tidy", settled, 0, [run])
            if is_called:
                await control.journal.change_run(run.id, state=RunState.RUNNING, started_at=settled)
        async with world.control(EACH_MINUTE) as control:
            assert await control.runs() == [("20 12:01", RunState.UNKNOWN)]
            assert [kind for kind, _ in world.account.events] == [Kind.RUN_UNKNOWN]
            await control.passes(MINUTE)
        assert world.times == ["20 12:02"]

    play(world, scenario)


def test_what_waited_when_control_was_killed_is_done_by_the_next(world: World) -> None:
    queued = job(overlap="queue")

    async def scenario(world: World) -> None:
        world.held = asyncio.Event()
        async with world.control(queued) as control:
            await control.passes(MINUTE)
            await control.passes(MINUTE)
            rows = await control.runs()
            assert rows[1] == ("20 12:02", RunState.QUEUED)
            control.cron._journal = _gone(control.journal)
        world.held = None
        async with world.control(queued) as control:
            await control.settled()
            assert await control.runs() == [("20 12:01", RunState.UNKNOWN), ("20 12:02", RunState.DONE)]
        assert world.times == ["20 12:01", "20 12:02"]

    play(world, scenario)


def _gone(journal: Journal) -> Any:
    """The process was killed: it writes nothing any more."""

    async def refuse(*_: object, **__: object) -> None:
        raise StoreUnusable("killed", "")

    return SimpleNamespace(write=refuse, change_run=refuse, later=lambda _: None)


def test_nothing_is_begun_that_could_not_be_written_down(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            journal = control.cron._journal
            control.cron._journal = _gone(journal)
            await control.passes(MINUTE)
            assert world.times == []
            control.cron._journal = journal
            await control.cron.look((TASKS, "tidy"))
            await control.settled()
            assert world.times == ["20 12:01"]

    play(world, scenario)


def test_a_bug_in_a_run_is_one_failed_run(world: World) -> None:
    async def scenario(world: World) -> None:
        async def broken(*_: object, **__: object) -> Outcome:
            raise KeyError("oh")

        async with world.control(EACH_MINUTE) as control:
            control.cron._perform = broken
            await control.passes(MINUTE)
            control.cron._perform = world.perform
            await control.passes(MINUTE)
            assert await control.runs() == [("20 12:01", RunState.FAILED), ("20 12:02", RunState.DONE)]

    play(world, scenario)


def test_a_run_by_hand_stands_beside_the_times_of_its_job(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_HOUR) as control:
            run = await control.cron.run_now("tasks", "tidy", "admin")
            await control.settled()
            assert (run.cause, run.actor, world.times) == (Cause.PERSON, "admin", ["20 12:00"])
            world.held = asyncio.Event()
            world.clock.passes(timedelta(seconds=1))
            await control.cron.run_now("tasks", "tidy", "admin")
            with pytest.raises(Refusal, match="is running"):
                await control.cron.run_now("tasks", "tidy", "admin")

    play(world, scenario)


def test_five_hundred_jobs_of_one_second_all_run_once(world: World) -> None:
    jobs = [job("0 0 * * *", name=f"job-{n}") for n in range(500)]

    async def scenario(world: World) -> None:
        async with world.control(*jobs) as control:
            await control.passes(12 * HOUR)
            await until(lambda: len(world.done) == 500, what="all of them")
            await control.settled()
            assert len(await control.runs()) == 500
            await control.woken()
            assert len(world.done) == 500

    play(world, scenario)
