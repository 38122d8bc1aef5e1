"""Whoever hangs has had his turn, and whoever gives up leaves nothing behind."""

import asyncio

import pytest

from reconciler.worker import slot
from reconciler.worker.slot import take_turn
from tests.waiting import until


def test_a_start_that_hangs_keeps_its_slot_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot, "HELD", 0.01)

    async def scenario() -> None:
        slots = asyncio.Semaphore(1)
        hanging = asyncio.create_task(take_turn(slots, asyncio.Event().wait))
        assert await asyncio.wait_for(take_turn(slots, lambda: asyncio.sleep(0, "started")), 5) == "started"
        hanging.cancel()
        await asyncio.wait([hanging])
        assert hanging.cancelled()

    asyncio.run(scenario())


def test_a_start_that_ends_although_nobody_waits_for_it_is_undone() -> None:
    begun, undone = asyncio.Event(), list[str]()

    async def stubborn() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "started"
        raise AssertionError

    async def undo(what: str) -> None:
        undone.append(what)

    async def scenario() -> None:
        turn = asyncio.create_task(take_turn(asyncio.Semaphore(1), stubborn, undo))
        await until(begun.is_set, what="the start")
        turn.cancel()
        await asyncio.wait([turn])
        assert turn.cancelled()
        assert undone == ["started"]

    asyncio.run(scenario())
