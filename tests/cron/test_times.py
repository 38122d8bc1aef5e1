"""When jobs run: at their times, after an absence, and when somebody sets the clock."""

import asyncio
from datetime import timedelta

import pytest

from reconciler.control.cron.alarm import SLEEPS_AT_MOST
from reconciler.model.notice import Kind
from reconciler.model.run import Cause, RunState
from tests.cron.simulation import DAY, EACH_HOUR, EACH_MINUTE, HOUR, MINUTE, NOON, TASKS, World, play
from tests.cron.test_timetable import job


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
