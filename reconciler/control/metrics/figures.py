"""Sums that only grow: of durations by class, and of all that is counted about one service."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import TypeVar

from reconciler.control.metrics.minutes import Minutes
from reconciler.model.names import ReleaseId
from reconciler.worker.served import BOUNDS, CLASSES

K = TypeVar("K")

PHASES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds: a switch takes milliseconds, an environment may take minutes."""


class Spread:
    """How many durations there were in each class, and how long they were together."""

    __slots__ = ("bounds", "counts", "seconds")

    def __init__(self, bounds: Sequence[float], counts: Iterable[int] = (), seconds: float = 0.0) -> None:
        self.bounds = bounds
        self.counts = list(counts) or [0] * (len(bounds) + 1)
        self.seconds = seconds

    def note(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    def add(self, counts: Iterable[int], seconds: float) -> None:
        for index, more in enumerate(counts):
            self.counts[index] += more
        self.seconds += seconds

    def copy(self) -> "Spread":
        return Spread(self.bounds, self.counts, self.seconds)


@dataclass(slots=True)
class ReleaseFigures:
    answers: list[int] = field(default_factory=lambda: [0] * CLASSES)
    ended_at: float | None = None
    """Since when none of its workers is left."""


@dataclass(slots=True)
class ServiceFigures:
    answers: list[int] = field(default_factory=lambda: [0] * CLASSES)
    times: Spread = field(default_factory=lambda: Spread(BOUNDS))
    unanswered: int = 0
    releases: dict[ReleaseId, ReleaseFigures] = field(default_factory=dict)
    """The service's own sums do not depend on these, which come and go."""
    switches: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    suites: dict[str, int] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    runs: dict[tuple[str, str], int] = field(default_factory=dict)
    """By job and outcome."""
    lateness: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By job: how many runs began, and how long after their times all together."""
    missed: dict[str, int] = field(default_factory=dict)
    minutes: Minutes = field(default_factory=Minutes)
    gone_at: float | None = None

    def copy(self) -> "ServiceFigures":
        """As it is now, for whoever reads it while the original goes on."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        copied = {name: value.copy() if hasattr(value, "copy") else value for name, value in values.items()}
        releases = {name: ReleaseFigures(one.answers.copy()) for name, one in self.releases.items()}
        return ServiceFigures(**{**copied, "releases": releases})


def add(sums: dict[K, int], key: K, more: int = 1) -> None:
    sums[key] = sums.get(key, 0) + more


def noted(spreads: dict[str, Spread], name: str, seconds: float) -> None:
    if name not in spreads:
        spreads[name] = Spread(PHASES)
    spreads[name].note(seconds)
