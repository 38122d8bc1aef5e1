"""Which runs go before which: of one job, of many in the same second, and beside a release."""

import asyncio
import time
from datetime import datetime, timedelta

import pytest

from reconciler.control.cron.course import BEGIN_TOGETHER, GIVES_WAY
from reconciler.model.job import Job
from reconciler.model.notice import Kind
from reconciler.model.refusal import Refusal
from reconciler.model.run import Cause, RunState
from reconciler.model.timetable import Due, due
from tests.cron.simulation import EACH_HOUR, EACH_MINUTE, HOUR, MINUTE, REPORTS, World, play
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


def test_the_many_jobs_of_one_service_do_not_keep_the_one_of_another_waiting(world: World) -> None:
    many = [job("0 0 * * *", name=f"job-{n}") for n in range(100)]
    one = job("0 0 * * *", name="only", service=REPORTS)
    begun: list[str] = []

    async def scenario(world: World) -> None:
        async with world.control(*many) as control:
            world.begins = begun.append
            control.follow(one, service=REPORTS)
            await control.passes(12 * HOUR)
            await until(lambda: len(world.done) == 101, what="all of them")
            assert begun.index("reports.only.20261121T0000Z") < 2

    play(world, scenario)


def test_runs_let_a_release_go_first_and_do_not_wait_for_its_end(world: World) -> None:
    jobs = [job("0 0 * * *", name=f"job-{n}") for n in range(30)]

    async def scenario(world: World) -> None:
        async with world.control(*jobs) as control:
            control.cron.give_way(lambda: True)
            begun = time.monotonic()
            await control.passes(12 * HOUR)
            await until(lambda: len(world.done) == 30, what="all of them, although the release goes on")
            assert time.monotonic() - begun >= GIVES_WAY * 30 / BEGIN_TOGETHER

    play(world, scenario)


def test_a_job_that_cannot_be_computed_keeps_no_other_from_its_times(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def due_but_for_one(job: Job, settled: datetime, now: datetime) -> Due:
        if job.name == "odd":
            raise LookupError("no such zone any more")
        return due(job, settled, now)

    async def scenario(world: World) -> None:
        async with world.control(job(name="odd"), EACH_MINUTE) as control:
            monkeypatch.setattr("reconciler.control.cron.cron.due", due_but_for_one)
            await control.passes(MINUTE)
            assert await control.runs() == [("20 12:01", RunState.DONE)]

    play(world, scenario)
