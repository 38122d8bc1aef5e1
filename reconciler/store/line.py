"""What waits for the one thread that writes: in order, but for what may go ahead.

Filled by any thread and emptied by one, some at a time. Knows nothing of what waits in it.
"""

from collections import deque
from collections.abc import Sequence
from threading import Condition
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST: Final = 64
FEW: Final = 4
"""So many get through beside those that go ahead, however many of those come."""


class Line(Generic[T]):
    def __init__(self) -> None:
        self._ahead: deque[T] = deque()
        self._others: deque[T] = deque()
        self._has_ended = False
        self._changed = Condition()
        self._in_peace = 0
        """How many of those taken last have their turn whoever comes: all that went ahead, and a few."""

    def put(self, one: T, *, ahead: bool = False) -> None:
        with self._changed:
            (self._ahead if ahead else self._others).append(one)
            self._changed.notify()

    def end(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._has_ended = True
            self._changed.notify()

    def take(self, within: float | None = None) -> list[T]:
        """Some that wait, at least one; none when it is over, or when none came within so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._ahead or self._others or self._has_ended, within)
            taken = list(self._ahead)
            self._ahead.clear()
            self._in_peace = len(taken) + FEW
            for _ in range(min(FEW if taken else MOST, len(self._others))):
                taken.append(self._others.popleft())
            return taken

    def is_urged(self, done: int) -> bool:
        """Whether somebody came who goes ahead, after so many of those taken had their turn."""
        return done >= self._in_peace and len(self._ahead) > 0

    def put_back(self, rest: Sequence[T]) -> None:
        """Taken, and had no turn."""
        with self._changed:
            self._others.extendleft(reversed(rest))
