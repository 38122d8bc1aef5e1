"""What a worker says that it answered since it said so last.

A worker is a process that runs other people's code: what does not fit is a `ValueError`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.inside.tally import BOUNDS as BOUNDS
from reconciler.inside.tally import CLASSES as CLASSES

DURATIONS = len(BOUNDS) + 1
MOST = 1 << 53
LONGEST = 1e12


@dataclass(frozen=True, slots=True)
class Served:
    answers: tuple[int, ...]
    """How many, by the first digit of their status."""
    times: tuple[int, ...]
    """How many took how long, in the classes of `BOUNDS`."""
    seconds: float
    """How long these took together."""
    unanswered: int
    """Requests whose client hung up first, or that were cut off."""

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> "Served":
        answers, times = _counts(message["answers"], CLASSES), _counts(message["times"], DURATIONS)
        seconds = float(message["seconds"])
        if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST):
            raise ValueError("a worker says how long it took, and it is no time")
        return cls(answers, times, seconds, number(message["unanswered"]))

    @property
    def total(self) -> int:
        return sum(self.answers)

    @property
    def failed(self) -> int:
        """Answers of 500 and more."""
        return self.answers[5]


@dataclass(frozen=True, slots=True)
class InHand:
    """What a worker holds at the moment."""

    connections: int = 0
    in_flight: int = 0

    def __add__(self, other: "InHand") -> "InHand":
        return InHand(self.connections + other.connections, self.in_flight + other.in_flight)


NOTHING = InHand()


def number(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= MOST:
        raise ValueError("a worker counts in something that is no number")
    return value


def _counts(values: object, length: int) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) != length:
        raise ValueError("a worker counts in other classes")
    return tuple(map(number, values))
