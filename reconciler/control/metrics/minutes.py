"""What a service answered of late, minute by minute: half an hour, for people, in memory only.

A minute in which nothing was answered costs nothing, and a service that nobody asks for has none.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from reconciler.model.status import QUIET, TrafficStatus
from reconciler.worker.served import BOUNDS, NOTHING, InHand, Served

MINUTE = 60.0
FRESH = 5.0
KEPT = 30
WINDOW = 5
"""Minutes over which a rate and a share are told: the one under way, and those before it."""


@dataclass(slots=True)
class Minute:
    number: int
    requests: int
    failed: int
    times: list[int]


class Minutes:
    __slots__ = ("_kept", "_seen")

    def __init__(self) -> None:
        self._kept: deque[Minute] = deque()
        self._seen: tuple[int, InHand, TrafficStatus] | None = None
        """What was told last, for as long as it holds: many look at the same thousands at the same time."""

    def note(self, served: Served, now: float) -> None:
        self._seen = None
        number = int(now // MINUTE)
        if not self._kept or self._kept[-1].number != number:
            self._kept.append(Minute(number, 0, 0, [0] * len(served.times)))
            while self._kept[0].number <= number - KEPT:
                self._kept.popleft()
        minute = self._kept[-1]
        minute.requests += served.total
        minute.failed += served.failed
        minute.times = [had + more for had, more in zip(minute.times, served.times, strict=True)]

    def look(self, now: float, since: float, held: InHand) -> TrafficStatus:
        """As it is `now`, by a clock that counts `since` a moment of its own; it may be a few seconds old."""
        if not self._kept and held == NOTHING:
            return QUIET
        moment = int(now // FRESH)
        if self._seen is None or self._seen[:2] != (moment, held):
            self._seen = moment, held, self._look(now, since, held)
        return self._seen[2]

    def _look(self, now: float, since: float, held: InHand) -> TrafficStatus:
        number = int(now // MINUTE)
        kept = [minute for minute in self._kept if minute.number > number - KEPT]
        if not kept:
            return QUIET if held == NOTHING else QUIET.model_copy(update=asdict(held))
        of_late = [minute for minute in kept if minute.number > number - WINDOW]
        requests, failed = sum(one.requests for one in of_late), sum(one.failed for one in of_late)
        times = [sum(each) for each in zip(*(one.times for one in of_late), strict=True)]
        began = max(since, (number - WINDOW + 1) * MINUTE)
        by_minute = {minute.number - number: minute for minute in kept}
        shown = [by_minute.get(place) for place in range(1 - KEPT, 1)]
        return TrafficStatus(
            requests_per_second=round(requests / max(MINUTE, now - began), 4),
            error_share=round(failed / requests, 6) if requests else None,
            latency_p50=quantile(times, 0.5),
            latency_p95=quantile(times, 0.95),
            connections=held.connections,
            in_flight=held.in_flight,
            requests_by_minute=tuple(one.requests if one else 0 for one in shown),
            errors_by_minute=tuple(one.failed if one else 0 for one in shown),
        )


def quantile(times: Sequence[int], share: float) -> float | None:
    """As Prometheus guesses it: within a class, durations lie evenly; beyond the last bound nobody knows."""
    rank, before, lower = share * sum(times), 0, 0.0
    for bound, count in zip(BOUNDS, times, strict=False):
        if count and before + count >= rank:
            return round(lower + (bound - lower) * (rank - before) / count, 6)
        before, lower = before + count, bound
    return BOUNDS[-1] if sum(times) else None
