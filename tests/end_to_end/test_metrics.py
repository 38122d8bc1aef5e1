"""What is counted, as a real Prometheus sees it."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.documents import ROOT, first_cells
from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import PLATFORM, service
from tests.end_to_end.traffic import Traffic
from tests.prometheus import Prometheus, promtool

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


@pytest.fixture(scope="module")
def prometheus(shared: Platform) -> Iterator[Prometheus]:
    # The first scrape imports the library, which takes a while on a slow machine.
    shared.control.get("/metrics").raise_for_status()
    with Prometheus(f"127.0.0.1:{shared.control_port}", shared.token) as made:
        yield made


def told(platform: Platform, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    return sum(value for one, had, value in samples(platform) if one == name and labels.items() <= had.items())


def samples(platform: Platform) -> list[tuple[str, dict[str, str], float]]:
    text = platform.control.get("/metrics").raise_for_status().text
    found = [match.groups() for line in text.splitlines() if (match := SAMPLE.match(line))]
    return [(name, dict(re.findall(r'(\w+)="([^"]*)"', labels or "")), float(value)) for name, labels, value in found]


def test_promtool_has_nothing_to_say_about_what_is_told(shared: Platform) -> None:
    checked = promtool("check", "metrics", text=shared.control.get("/metrics").content)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_answers_are_counted_by_their_class_and_timed(shared: Platform) -> None:
    shared.deploy(service("counted", also='''
        @router.get("/broken")
        async def broken():
            raise RuntimeError("broken")
    '''))  # fmt: skip
    for _ in range(5):
        shared.version("counted")
    for path in ("nothing", "broken", "slow?seconds=0.3"):
        shared.services.get(f"/api/counted/{path}")
    shared.services.get("/api/counted/events?count=1")
    eventually(lambda: told(shared, "reconciler_requests_total", service="counted") >= 9, what="the counts")
    by_class = {
        status: told(shared, "reconciler_requests_total", service="counted", status=status) for status in CLASSES
    }
    # The smoke case goes through the public door as well, as a client does.
    assert by_class["4xx"] == by_class["5xx"] == 1 and by_class["2xx"] >= 7
    all_of_them = told(shared, "reconciler_requests_total", service="counted")
    of_release = told(shared, "reconciler_release_requests_total", service="counted", release="counted-1")
    assert of_release == all_of_them
    # A stream of events lasts as long as its reader likes.
    assert told(shared, "reconciler_request_duration_seconds_count", service="counted") == all_of_them - 1
    quick = told(shared, "reconciler_request_duration_seconds_bucket", service="counted", le="0.25")
    assert quick <= all_of_them - 2
    assert told(shared, "reconciler_request_duration_seconds_sum", service="counted") >= 0.3
    assert told(shared, "reconciler_worker_memory_bytes", service="counted") > 1_000_000
    traffic = shared.service("counted")["traffic"]
    assert sum(traffic["requests_by_minute"]) == all_of_them and sum(traffic["errors_by_minute"]) == 1
    assert 0 < traffic["latency_p50"] < traffic["latency_p95"] and traffic["requests_per_second"] > 0
    assert 0 < traffic["error_share"] < 0.2
    assert told(shared, "reconciler_service_condition", service="counted", type="Ready", status="True") == 1


CLASSES = ("2xx", "3xx", "4xx", "5xx")


def test_a_request_whose_client_hangs_up_is_counted_as_unanswered(shared: Platform) -> None:
    shared.deploy(service("left"))
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"http://127.0.0.1:{shared.port}/api/left/slow?seconds=30", timeout=2)
    eventually(lambda: told(shared, "reconciler_requests_unanswered_total", service="left") == 1, what="the count")
    eventually(lambda: told(shared, "reconciler_requests_in_flight", service="left") == 0, what="its end")


def test_what_is_in_flight_and_held_can_be_seen(shared: Platform) -> None:
    shared.deploy(service("holding"))
    waiting = threading.Thread(target=shared.services.get, args=("/api/holding/slow?seconds=4",))
    waiting.start()
    eventually(lambda: told(shared, "reconciler_requests_in_flight", service="holding") == 1, what="the request")
    assert told(shared, "reconciler_connections", service="holding") >= 1
    waiting.join()
    eventually(lambda: told(shared, "reconciler_requests_in_flight", service="holding") == 0, what="its end")


def test_a_worker_that_is_killed_is_counted_and_what_it_had_counted_stays(shared: Platform) -> None:
    shared.deploy(service("mortal"))
    for _ in range(3):
        shared.version("mortal")
    eventually(lambda: told(shared, "reconciler_requests_total", service="mortal") >= 3, what="the counts")
    before = told(shared, "reconciler_requests_total", service="mortal")
    os.kill(shared.worker("mortal"), signal.SIGKILL)
    eventually(lambda: told(shared, "reconciler_worker_restarts_total", service="mortal", cause="signal") == 1)
    assert told(shared, "reconciler_requests_total", service="mortal") >= before
    shared.version("mortal")
    eventually(lambda: told(shared, "reconciler_requests_total", service="mortal") >= before + 1, what="the next")


def test_prometheus_scrapes_through_switches_and_loses_no_count(shared: Platform, prometheus: Prometheus) -> None:
    shared.deploy(service("moving", "1"))
    with Traffic(shared.port, ["/api/moving"], clients=4) as traffic, scraping(shared) as sums:
        for version in ("2", "3"):
            shared.deploy(service("moving", version))
    total = 'sum(reconciler_requests_total{service="moving"})'
    eventually(lambda: prometheus.ask(total).get("", 0) >= traffic.tally.ok, within=60, what="the counts")
    # Every scrape succeeded, those in the middle of a switch too, and no sum of the service ever went back.
    assert len(sums) > 5 and sums == sorted(sums)
    (scrapes,) = prometheus.values("up[10m]").values()
    assert set(scrapes) == {1.0}
    for values in prometheus.values('reconciler_requests_total{service="moving"}[10m]').values():
        assert values == sorted(values)
    by_release = prometheus.ask('sum by (release) (reconciler_release_requests_total{service="moving"})')
    assert set(by_release) == {"release=moving-1", "release=moving-2", "release=moving-3"}
    both = 'sum(reconciler_release_requests_total{service="moving"}) - ' + total
    assert prometheus.ask(both) == {"": 0}
    assert prometheus.ask('reconciler_switches_total{service="moving",cause="release"}')
    assert told(shared, "reconciler_gateway_connections_total", event="returned") > 0
    assert [target["lastError"] for target in prometheus.targets()] == [""]


@contextmanager
def scraping(platform: Platform) -> Iterator[list[float]]:
    """Scrapes as fast as can be while the block lasts, and gives the sums of one service that it saw."""
    over, sums = threading.Event(), list[float]()

    def scrape() -> None:
        while not over.is_set():
            sums.append(told(platform, "reconciler_requests_total", service="moving"))

    with ThreadPoolExecutor(1) as pool:
        scraped = pool.submit(scrape)
        try:
            yield sums
        finally:
            over.set()
            scraped.result()


def test_another_control_begins_at_nothing_and_hears_what_was_counted_meanwhile(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM, **service("lasting")})
    platform.start()
    for _ in range(30):
        platform.version("lasting")
    eventually(lambda: told(platform, "reconciler_requests_total", service="lasting") >= 30, what="the counts")
    platform.kill("control")
    for _ in range(5):
        platform.version("lasting")
    eventually(platform.is_ready, within=30, what="another control")
    eventually(lambda: told(platform, "reconciler_requests_total", service="lasting") >= 5, what="what came since")
    assert told(platform, "reconciler_requests_total", service="lasting") < 30


def test_whoever_may_not_read_sees_nothing(shared: Platform) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{shared.control_port}") as stranger:
        assert stranger.get("/metrics").status_code == 401
    assert shared.services.get("/metrics").status_code == 404


def test_every_metric_stands_in_the_docs_and_nothing_else_does(shared: Platform) -> None:
    text = shared.control.get("/metrics").raise_for_status().text
    emitted = set(re.findall(r"^# TYPE (\w+) ", text, re.M))
    assert set(first_cells(ROOT / "docs" / "monitoring.md", "What is counted")) == emitted
