"""Control's attention: its one thread is free for whoever knocks, however much there is to do.

A webhook is answered by the interpreter that also reads a thousand manifests and tells a thousand services what to do.
Three things would keep it waiting: a stretch of work that nobody interrupts, another thread that computes, and the
collector, which stops everybody while it looks at all there is. None of them may take more than a few milliseconds.
And since an answer takes a dozen turns of the loop, `unhurried` work rests between them.

What is kept here is the process's and nobody's else: it has one interpreter. Refuses to let whoever never stops asking
stop the work.
"""

import asyncio
import gc
import math
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

T = TypeVar("T")

SPELL: Final = 0.0002
"""So long may one go on without looking up."""
REST: Final = 0.001
"""The least that one rests then: a loop that waits for its selector counts in whole milliseconds."""
LONGEST_REST: Final = 0.005
"""Who knocks without a pause leaves the work a twentieth of its time, and does not stop it."""
SOON: Final = 0.02
"""Who has no answer by then is taken to wait for something else: for news, or for the end of a push."""
SWITCH: Final = 0.0002
"""A thread that computes lets go of the interpreter after so long; Python's own five milliseconds add up."""
COLLECT: Final = (1_000, 4, 100)
"""In small portions and seldom everything. Python by itself goes through all there is several times in a large sync."""


class _Visits:
    """Who is being answered. Only the loop's thread comes and goes; any thread may ask for the newest."""

    def __init__(self) -> None:
        self.newest = -math.inf
        """When the last of those came who have no answer yet."""
        self._begun: dict[object, float] = {}

    def come(self) -> object:
        visitor = object()
        self._begun[visitor] = self.newest = time.monotonic()
        return visitor

    def go(self, visitor: object) -> None:
        del self._begun[visitor]
        self.newest = next(reversed(self._begun.values()), -math.inf)


_visits = _Visits()


def prepare() -> None:
    sys.setswitchinterval(SWITCH)
    gc.set_threshold(*COLLECT)


async def settle(first_sync: asyncio.Event) -> None:
    """What was there before the first sync stays, and what that has read mostly does: the collector passes it by."""
    gc.freeze()
    await first_sync.wait()
    gc.collect()
    gc.freeze()


@contextmanager
def visit() -> Iterator[None]:
    """Somebody asks for something, and has not been answered while the block is not left."""
    visitor = _visits.come()
    try:
        yield
    finally:
        _visits.go(visitor)


async def unhurried(items: Iterable[T]) -> AsyncIterator[T]:
    """One after another; whoever came meanwhile goes first, within bounds."""
    since = time.monotonic()
    for item in items:
        if time.monotonic() - since >= SPELL:
            # The loop has to be left once to hear whether anybody came.
            await asyncio.sleep(REST)
            for pause in _pauses():
                await asyncio.sleep(pause)
            since = time.monotonic()
        yield item


def unhurried_in_thread(items: Iterable[T]) -> Iterator[T]:
    """The same for what computes in a thread beside the loop. While nobody is answered, it goes on."""
    since = time.monotonic()
    for item in items:
        if time.monotonic() - since >= SPELL:
            for pause in _pauses():
                time.sleep(pause)
            since = time.monotonic()
        yield item


def _pauses() -> Iterator[float]:
    until = time.monotonic() + LONGEST_REST
    while time.monotonic() < min(until, _visits.newest + SOON):
        yield REST
