"""Whose jobs run: those of the release that serves, as git has them."""

import asyncio
from datetime import timedelta

from reconciler.model.run import RunState
from tests.cron.simulation import EACH_HOUR, EACH_MINUTE, HOUR, MINUTE, TASKS, Control, World, play
from tests.cron.test_timetable import job
from tests.waiting import until


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


async def comes_due_while_its_release_leaves(world: World, control: Control) -> None:
    """Nobody can be asked for the run, and the next release is about to be followed."""
    world.leaving = "tasks-1"
    world.clock.passes(MINUTE)
    await control.cron.look((TASKS, "tidy"))
    await until(lambda: control.duty().running is not None, what="a run that nobody can be asked for")
    world.release = "tasks-2"


def test_what_the_old_release_was_not_asked_for_yet_the_new_one_does(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            await comes_due_while_its_release_leaves(world, control)
            control.follow(EACH_MINUTE)
            await control.settled()
            assert world.done == [("20 12:01", "tasks-2")]
            (run,) = (await control.journal.runs(TASKS)).items
            assert (run.state, run.release) == (RunState.DONE, "tasks-2")

    play(world, scenario)


def test_a_run_of_a_job_that_the_new_release_has_not_is_left_out(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            await comes_due_while_its_release_leaves(world, control)
            control.follow()
            await control.settled()
            assert world.done == []
            assert await control.runs() == [("20 12:01", RunState.SKIPPED)]

    play(world, scenario)
