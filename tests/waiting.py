"""Wait for a condition with a deadline, never for a number of seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.03


async def until(look: Callable[[], T | Awaitable[T]], *, within: float = 30.0, what: str = "the condition") -> T:
    """Look again and again until the answer is truthy; say what was awaited when it never comes."""
    began = time.monotonic()
    while True:
        answer = look()
        seen = await answer if isinstance(answer, Awaitable) else answer
        if seen:
            return seen
        waited = time.monotonic() - began
        if waited > within:
            raise AssertionError(f"waited {within} s in vain for {what}; last seen: {seen!r}")
        await asyncio.sleep(_pause(waited))


def until_sync(look: Callable[[], T], *, within: float = 30.0, what: str = "the condition") -> T:
    began = time.monotonic()
    while True:
        seen = look()
        if seen:
            return seen
        waited = time.monotonic() - began
        if waited > within:
            raise AssertionError(f"waited {within} s in vain for {what}; last seen: {seen!r}")
        time.sleep(_pause(waited))


def _pause(waited: float) -> float:
    """A tenth of the time so far: most looks are requests, and what is waited for needs the processor more."""
    return min(max(SHORTEST_PAUSE, waited / 10), LONGEST_PAUSE)
