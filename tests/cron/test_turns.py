"""Which runs go before which: of one job, of many in the same second, and beside a release."""

import asyncio
from datetime import timedelta

import pytest

from reconciler.model.notice import Kind
from reconciler.model.refusal import Refusal
from reconciler.model.run import Cause, RunState
from tests.cron.simulation import EACH_HOUR, HOUR, MINUTE, World, play
from tests.cron.test_timetable import job
from tests.waiting import until


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
