"""How requests look on a page: a few characters, a line, and words for whoever does not see it."""

import pytest

from reconciler.dashboard.traffic import HEIGHT, percent, rate, span, spark
from reconciler.model.status import QUIET, TrafficStatus
from tests.api.asking import get
from tests.api.platform import Still
from tests.api.statuses import busy, service
from tests.dashboard.test_pages import text_of


@pytest.mark.parametrize(
    ("per_second", "said"),
    [(1234.4, "1,234 /s"), (10, "10 /s"), (9.9, "9.9 /s"), (1, "1.0 /s"), (0.2, "12 /min"), (0.001, "under 1 /min")],
)
def test_a_rate_is_told_as_people_picture_it(per_second: float, said: str) -> None:
    assert rate(per_second) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0001, "under 1 ms"), (0.0042, "4 ms"), (0.2, "200 ms"), (1.25, "1.2 s"), (10, "10.0 s")]
)
def test_a_time_is_told_in_its_unit(seconds: float, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize(("share", "said"), [(0.00001, "0.1 %"), (0.012, "1.2 %"), (0.1, "10 %"), (1, "100 %")])
def test_a_share_is_never_rounded_to_none(share: float, said: str) -> None:
    assert percent(share) == said


def test_a_line_reaches_from_the_ground_to_the_top() -> None:
    drawn = spark(traffic((0, 5, 10), (0, 0, 5)))
    assert drawn is not None and drawn.width == 4
    assert drawn.requests == f"0,{HEIGHT} 0,{HEIGHT} 2,10 4,1 4,{HEIGHT}"
    assert drawn.errors == f"0,{HEIGHT} 0,{HEIGHT} 2,{HEIGHT} 4,10 4,{HEIGHT}"
    assert spark(QUIET) is None and spark(traffic((0, 0), (0, 0))) is None


def test_the_list_tells_requests_failures_and_latency_in_words() -> None:
    page = get(Still(service("quiet"), service("asked", traffic=busy())), "/").text
    told = text_of(page)
    assert "4.2 /s" in told and "1.0 % failed" in told and "21 ms" in told and "none of late" in told
    assert page.count('<svg class="spark"') == 1


def test_the_page_of_a_service_tells_the_half_hour() -> None:
    told = text_of(get(Still(service("asked", traffic=busy())), "/services/asked").text)
    assert "1 on 12 connections" in told
    assert "6,630 requests, at most 250 in one minute, 72 failed" in told
    assert "Nobody asked in the last half hour" in text_of(get(Still(service("quiet")), "/services/quiet").text)


def traffic(requests: tuple[int, ...], errors: tuple[int, ...]) -> TrafficStatus:
    return QUIET.model_copy(update={"requests_by_minute": requests, "errors_by_minute": errors})
