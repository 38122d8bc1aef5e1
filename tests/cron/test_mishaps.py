"""What becomes of runs when control is killed, the journal cannot be written, or we are wrong ourselves."""

import asyncio
from dataclasses import replace

import pytest

from reconciler.model.notice import Kind
from reconciler.model.run import Cause, RunState
from reconciler.store.runs import Settled
from tests.cron.simulation import EACH_MINUTE, MINUTE, NOON, TASKS, World, play
from tests.cron.test_timetable import job
from tests.waiting import until


@pytest.mark.parametrize("is_called", [False, True], ids=["before the call", "before the result"])
def test_a_control_that_is_killed_leaves_a_run_unknown_and_never_repeats_it(world: World, is_called: bool) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            world.clock.passes(MINUTE)
            settled = NOON + MINUTE
            run = control.duty().reserve(settled, Cause.SCHEDULE, settled)
            await control.journal.settle_jobs([Settled(TASKS, "tidy", settled, 0, [run])])
            if is_called:
                await control.journal.change_runs([replace(run, state=RunState.RUNNING, started_at=settled)])
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
            control.disk.is_full = True
        world.held = None
        async with world.control(queued) as control:
            await control.settled()
            assert await control.runs() == [("20 12:01", RunState.UNKNOWN), ("20 12:02", RunState.DONE)]
        assert world.times == ["20 12:01", "20 12:02"]

    play(world, scenario)


def test_nothing_is_begun_that_could_not_be_written_down(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            control.disk.is_full = True
            await control.passes(MINUTE)
            assert world.times == []
            control.disk.is_full = False
            await control.cron.look((TASKS, "tidy"))
            await control.settled()
            assert world.times == ["20 12:01"]

    play(world, scenario)


def test_a_bug_in_a_run_is_one_failed_run(world: World) -> None:
    async def scenario(world: World) -> None:
        async with world.control(EACH_MINUTE) as control:
            world.bug = KeyError("oh")
            await control.passes(MINUTE)
            world.bug = None
            await control.passes(MINUTE)
            assert await control.runs() == [("20 12:01", RunState.FAILED), ("20 12:02", RunState.DONE)]

    play(world, scenario)


def test_an_end_that_cannot_be_written_down_is_written_when_there_is_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.store.insisting.STORE_RETRY", 0.01)

    async def scenario(world: World) -> None:
        world.held = asyncio.Event()
        async with world.control(EACH_MINUTE) as control:
            await control.passes(MINUTE)
            control.disk.is_full = True
            world.held.set()
            await until(lambda: control.disk.refused > 1, what="a second try")
            control.disk.is_full = False
            await control.settled()
            assert await control.runs() == [("20 12:01", RunState.DONE)]

    play(world, scenario)


def test_what_waits_for_its_turn_waits_for_room_on_the_disk_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.store.insisting.STORE_RETRY", 0.01)

    async def scenario(world: World) -> None:
        world.held = asyncio.Event()
        async with world.control(job(overlap="queue")) as control:
            await control.passes(MINUTE)
            await control.passes(MINUTE)
            world.held.set()
            control.disk.is_full = True
            await until(lambda: control.disk.refused > 1, what="a second try")
            assert world.times == ["20 12:01"], "an intent comes first"
            control.disk.is_full = False
            await control.settled()
            assert await control.runs() == [("20 12:01", RunState.DONE), ("20 12:02", RunState.DONE)]

    play(world, scenario)
