"""Whoever goes through a thousand things lets others have their turn, and whoever is being answered all of them."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from reconciler.control import attention
from reconciler.control.attention import unhurried, unhurried_in_thread, visit


def test_others_have_their_turn_in_a_long_piece_of_work() -> None:
    async def scenario() -> tuple[list[int], int]:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        waiting = asyncio.create_task(other())
        seen = []
        async for number in unhurried(long_ones()):
            seen.append(number)
        waiting.cancel()
        return seen, turns

    seen, turns = asyncio.run(scenario())
    assert seen == list(range(50))
    assert turns >= 48, "one between any two"


def test_what_is_short_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "SPELL", 60.0)
    seen: list[int] = []

    async def scenario() -> None:
        asyncio.get_running_loop().call_soon(seen.append, -1)
        async for number in unhurried(range(3)):
            seen.append(number)

    asyncio.run(scenario())
    assert seen[:3] == [0, 1, 2], "nobody came between"


@pytest.fixture
def no_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "LONGEST_REST", 60.0)
    monkeypatch.setattr(attention, "SOON", 60.0)


@pytest.mark.usefixtures("no_bounds")
def test_work_does_not_go_on_between_the_steps_of_an_answer() -> None:
    async def scenario() -> tuple[int, list[int]]:
        seen: list[int] = []

        async def work() -> None:
            async for number in unhurried(long_ones()):
                seen.append(number)

        working = asyncio.create_task(work())
        with visit():
            await asyncio.sleep(20 * attention.REST)
            while_answered = len(seen)
        await working
        return while_answered, seen

    while_answered, seen = asyncio.run(scenario())
    assert while_answered == 0 and seen == list(range(50))


@pytest.mark.usefixtures("no_bounds")
def test_nor_does_what_computes_in_a_thread() -> None:
    seen: list[int] = []
    begun = threading.Event()

    def work() -> None:
        begun.set()
        for number in unhurried_in_thread(long_ones()):
            seen.append(number)

    async def scenario() -> int:
        with visit():
            working = asyncio.create_task(asyncio.to_thread(work))
            assert await asyncio.to_thread(begun.wait, 10)
            await asyncio.sleep(20 * attention.REST)
            while_answered = len(seen)
        await working
        return while_answered

    assert asyncio.run(scenario()) == 0 and seen == list(range(50))


@pytest.mark.parametrize("unbounded", ["SOON", "LONGEST_REST"])
def test_who_never_has_enough_does_not_stop_the_work(unbounded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the two bounds is enough by itself."""
    monkeypatch.setattr(attention, unbounded, 60.0)

    async def scenario() -> list[int]:
        async with asyncio.timeout(30):
            with visit():
                return [number async for number in unhurried(long_ones())]

    assert asyncio.run(scenario()) == list(range(50))


def test_who_was_answered_beside_a_listener_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "SOON", 0.01)

    async def scenario() -> bool:
        with visit():
            await asyncio.sleep(2 * attention.SOON)
            with visit():
                pass
            return somebody_is_waited_for()

    assert not asyncio.run(scenario())


def long_ones() -> Iterator[int]:
    """Each as long as one may go on."""
    for number in range(50):
        until = time.monotonic() + attention.SPELL
        while time.monotonic() < until:
            pass
        yield number


def somebody_is_waited_for() -> bool:
    return next(attention._pauses(), None) is not None
