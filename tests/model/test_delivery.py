"""The four figures, from releases as they come."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.delivery import Delivered, Delivery, delivery

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: float | None) -> datetime | None:
    return START + timedelta(minutes=minutes) if minutes is not None else None


def release(
    begun: float, *, committed: float | None = None, live: float | None = None, failed: float | None = None
) -> Delivered:
    return Delivered(
        begun_at=START + timedelta(minutes=begun), committed_at=at(committed), live_at=at(live), failed_at=at(failed)
    )


@pytest.mark.parametrize(
    ("releases", "expected"),
    [
        ([], (0, 0, None, None, None)),
        ([release(1, committed=0, live=2)], (1, 1, 120.0, 0.0, None)),
        ([release(1, live=2)], (1, 1, None, 0.0, None)),
        # A commit from a clock that is ahead is not delivered before it was made.
        ([release(1, committed=5, live=2)], (1, 1, 0.0, 0.0, None)),
        ([release(1)], (1, 0, None, None, None)),
        ([release(1, failed=2)], (1, 0, None, 1.0, None)),
        # Three in a row are one failure to restore from, since the first of them.
        (
            [release(0, committed=0, live=1), *(release(n, failed=n) for n in (10, 20, 30)), release(31, live=40)],
            (5, 2, 60.0, 0.6, 30 * 60.0),
        ),
        # One that was live and gave the traffic back has failed.
        ([release(0, live=1, failed=3), release(4, live=5)], (2, 2, None, 0.5, 120.0)),
    ],
)
def test_the_figures(
    releases: list[Delivered], expected: tuple[int, int, float | None, float | None, float | None]
) -> None:
    attempts, deploys, lead_time, failure_share, time_to_restore = expected
    assert delivery(releases) == Delivery(
        attempts=attempts,
        deploys=deploys,
        lead_time=lead_time,
        failure_share=failure_share,
        time_to_restore=time_to_restore,
    )
