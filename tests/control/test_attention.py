"""Whoever goes through a thousand things lets others have their turn."""

import asyncio
import time

import pytest

from reconciler.control import attention
from reconciler.control.attention import unhurried


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
        async for number in unhurried(range(50)):
            until = time.monotonic() + attention.SPELL
            while time.monotonic() < until:
                pass
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
