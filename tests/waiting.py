"""Wait for a condition with a deadline, never for a number of seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
PAUSE = 0.005


async def until(look: Callable[[], T | Awaitable[T]], *, within: float = 30.0, what: str = "the condition") -> T:
    """Look again and again until the answer is truthy; say what was awaited when it never comes."""
    deadline = time.monotonic() + within
    while True:
        answer = look()
        seen = await answer if isinstance(answer, Awaitable) else answer
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within} s in vain for {what}; last seen: {seen!r}")
        await asyncio.sleep(PAUSE)


def until_sync(look: Callable[[], T], *, within: float = 30.0, what: str = "the condition") -> T:
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within} s in vain for {what}; last seen: {seen!r}")
        time.sleep(PAUSE)
