"""What a worker counts of the requests that it answers, until somebody has heard of it.

Counting happens at every request and costs a few additions. Telling costs a message, so it happens when something was
counted, soon after a pause and otherwise every few seconds; a worker that has nothing to do does not wake up for it.
What was told is told once: whoever hears it adds it up, and a next listener gets what came since.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds: where one class of durations ends and the next begins; beyond the last is one more."""
CLASSES = 6
"""Of answers, by the first digit of their status; there is none with 0."""
EVERY = 3.0
SOON = 0.2


class Tally:
    __slots__ = ("_answers", "_due", "_loop", "_seconds", "_timer", "_times", "_told_at", "_unanswered", "is_wanted")

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Callable[[], None]) -> None:
        """`due` is called when there is something to tell, if it `is_wanted`."""
        self._loop = loop
        self._due = due
        self.is_wanted = False
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = loop.time() - EVERY
        self._clear()

    def answered(self, status: int, seconds: float) -> None:
        self._answers[status // 100] += 1
        self._times[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds
        if self._timer is None:
            self.stir()

    def answered_untimed(self, status: int) -> None:
        """What took as long as its client wished, or was refused before it had begun, says nothing about speed."""
        self._answers[status // 100] += 1
        self.stir()

    def left_unanswered(self) -> None:
        """Its client hung up, or it was cut off."""
        self._unanswered += 1
        self.stir()

    def stir(self) -> None:
        """Something is new: see to it that it is told."""
        if self._timer is None and self.is_wanted:
            self._timer = self._loop.call_at(max(self._loop.time() + SOON, self._told_at + EVERY), self._tell)

    @property
    def has_counted(self) -> bool:
        return any(self._answers) or self._unanswered > 0

    def take(self) -> dict[str, Any]:
        """All that was counted since the last time."""
        taken = {
            "answers": self._answers,
            "times": self._times,
            "seconds": round(self._seconds, 6),
            "unanswered": self._unanswered,
        }
        self._clear()
        return taken

    def _clear(self) -> None:
        self._answers = [0] * CLASSES
        self._times = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self._unanswered = 0

    def _tell(self) -> None:
        self._timer = None
        self._told_at = self._loop.time()
        self._due()
