"""Control's attention: its one thread is free for whoever knocks, however much there is to do.

A webhook is answered by the interpreter that also reads a thousand manifests and tells a thousand services what to do.
Three things would keep it waiting: a stretch of work that nobody interrupts, another thread that computes, and the
collector, which stops everybody while it looks at all there is. None of them may take more than a few milliseconds.
"""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

SPELL: Final = 0.001
"""So long may one go on without looking up, and rests for as long."""
SWITCH: Final = 0.0002
"""A thread that computes lets go of the interpreter after so long; Python's own five milliseconds add up."""
COLLECT: Final = (1_000, 4, 100)
"""In small portions and seldom everything. Python by itself goes through all there is several times in a large sync."""


def prepare() -> None:
    sys.setswitchinterval(SWITCH)
    gc.set_threshold(*COLLECT)


async def settle(first_sync: asyncio.Event) -> None:
    """What was there before the first sync stays, and what that has read mostly does: the collector passes it by."""
    gc.freeze()
    await first_sync.wait()
    gc.collect()
    gc.freeze()


async def unhurried(items: Iterable[T]) -> AsyncIterator[T]:
    """One after another; whoever came meanwhile has a turn first."""
    since = time.monotonic()
    for item in items:
        if time.monotonic() - since >= SPELL:
            # Not for a single turn: an answer takes a dozen of them, and those of the journal's thread besides.
            await asyncio.sleep(SPELL)
            since = time.monotonic()
        yield item
