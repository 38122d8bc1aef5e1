"""The half hour that people see: rates, shares and times of late, and nothing older."""

import pytest

from reconciler.control.metrics.minutes import KEPT, MINUTE, Minutes, quantile
from reconciler.model.status import QUIET
from reconciler.worker.served import BOUNDS, InHand, Served

NOBODY = InHand()
START = 1000 * MINUTE


def served(good: int, bad: int = 0, *, beyond: float = 0.0) -> Served:
    """Requests that all took as long as the class that begins `beyond`."""
    place = BOUNDS.index(beyond) + 1 if beyond else 0
    times = [0] * (len(BOUNDS) + 1)
    times[place] = good + bad
    return Served((0, 0, good, 0, 0, bad), tuple(times), 0.0, 0)


def test_nothing_costs_nothing() -> None:
    assert Minutes().look(START, 0, NOBODY) is QUIET
    assert Minutes().look(START, 0, InHand(3, 1)).connections == 3


def test_a_rate_is_that_of_five_minutes_and_the_series_that_of_thirty() -> None:
    minutes = Minutes()
    for number in range(40):
        minutes.note(served(30, 10 if number == 39 else 0), START + number * MINUTE)
    seen = minutes.look(START + 39 * MINUTE + 30, 0, NOBODY)
    assert seen.requests_by_minute == (30,) * 29 + (40,)
    assert seen.errors_by_minute == (0,) * 29 + (10,)
    assert seen.requests_per_second == pytest.approx(160 / 270, abs=1e-4)
    assert seen.error_share == pytest.approx(10 / 160)


def test_a_platform_that_just_began_does_not_spread_its_requests_over_time_before_it() -> None:
    minutes = Minutes()
    minutes.note(served(120), START + 5)
    assert minutes.look(START + 120, START, NOBODY).requests_per_second == 1
    # What is younger than a minute has not shown yet how often it is asked.
    assert minutes.look(START + 10, START, NOBODY).requests_per_second == 2


def test_a_pause_shows_as_a_pause_and_then_as_nothing() -> None:
    minutes = Minutes()
    minutes.note(served(7), START)
    seen = minutes.look(START + 10 * MINUTE, 0, NOBODY)
    assert seen.requests_by_minute == (0,) * 19 + (7,) + (0,) * 10
    assert (seen.requests_per_second, seen.error_share, seen.latency_p95) == (0, None, None)
    assert minutes.look(START + KEPT * MINUTE, 0, NOBODY) is QUIET


def test_times_are_guessed_within_their_class() -> None:
    minutes = Minutes()
    minutes.note(served(90, beyond=0.005), START)
    minutes.note(served(10, beyond=0.5), START)
    seen = minutes.look(START, 0, NOBODY)
    assert seen.latency_p50 == pytest.approx(0.005 + 0.005 * 50 / 90, abs=1e-6)
    assert seen.latency_p95 == pytest.approx(0.5 + 0.5 * 5 / 10, abs=1e-6)


def test_what_took_longer_than_the_last_class_took_at_least_that() -> None:
    assert quantile([0] * len(BOUNDS) + [5], 0.5) == BOUNDS[-1]
    assert quantile([0] * (len(BOUNDS) + 1), 0.5) is None
