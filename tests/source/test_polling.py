"""When the source is looked at again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.source.polling import LONGEST_RETRY, next_poll


def _wait(interval: float, *, failures: int = 0, after: float | None = None, random: float = 0.5) -> float:
    return next_poll(100.0, interval, failures=failures, after=after, random=lambda: random) - 100.0


@pytest.mark.parametrize(
    ("interval", "failures", "wait"),
    [
        pytest.param(60, 0, 60, id="all is well"),
        pytest.param(60, 1, 1, id="the first failure is looked into soon"),
        pytest.param(60, 2, 2, id="then twice as late"),
        pytest.param(60, 6, 32, id="and so on"),
        pytest.param(60, 50, 300, id="five minutes at most"),
        pytest.param(3600, 50, 300, id="also when polls are rare"),
        pytest.param(2, 50, 10, id="never far beyond a short interval"),
        pytest.param(0.1, 1, 0.5, id="nor at the first failure"),
    ],
)
def test_the_wait(interval: float, failures: int, wait: float) -> None:
    assert _wait(interval, failures=failures) == pytest.approx(wait)


def test_what_the_source_asks_for_is_never_undercut() -> None:
    assert _wait(60, failures=1, after=120) == pytest.approx(120)
    assert _wait(60, after=5) == pytest.approx(60)


@given(st.floats(0.1, 86_400), st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_is_a_tenth_either_way(interval: float, failures: int, random: float) -> None:
    plain = _wait(interval, failures=failures)
    jittered = _wait(interval, failures=failures, random=random)
    assert 0.9 * plain - 1e-6 <= jittered <= 1.1 * plain + 1e-6
    assert failures == 0 or plain <= LONGEST_RETRY
