"""Turns at starting, so that many services that come at once do not trample on one another.

A slot is kept for as long as an ordinary start takes, and no longer: whoever hangs has had his turn.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

HELD = 1.0


async def take_turn(
    slots: asyncio.Semaphore,
    start: Callable[[], Coroutine[Any, Any, T]],
    undo: Callable[[T], Awaitable[object]] | None = None,
    held: float = HELD,
) -> T:
    """Start when there is a slot. Cancelled, it ends when the start has; `undo` is for one that came too late."""
    starting: asyncio.Task[T] | None = None
    try:
        async with slots:
            starting = asyncio.create_task(start())
            await asyncio.wait([starting], timeout=held)
        return await starting
    except asyncio.CancelledError:
        if starting is not None:
            starting.cancel()
            await asyncio.wait([starting])
            if undo is not None and not starting.cancelled() and starting.exception() is None:
                await undo(starting.result())
        raise
