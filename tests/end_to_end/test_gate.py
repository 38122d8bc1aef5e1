"""The declared suite decides about the traffic, before the switch and for a while after it."""

import contextlib
import threading
from collections.abc import Mapping
from textwrap import dedent

import httpx

from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import service
from tests.end_to_end.traffic import Traffic

WATCHED = "watch_window: 30s\n"
FAILING = """

@router.get("/flaky")
async def flaky():
    return {"version": VERSION}[None]
"""


def suite(name: str, text: str) -> Mapping[str, str]:
    return {f"services/{name}/tests.yaml": dedent(text)}


def expects_version(name: str, version: str) -> Mapping[str, str]:
    return suite(
        name,
        f"""
        version: 1
        cases:
          - name: says its version
            GET: /version
            expect: {{status: 200, json: {{$.version: "{version}"}}}}
        """,
    )


def test_a_red_suite_changes_nothing_for_anyone(shared: Platform) -> None:
    shared.deploy({**service("gated"), **expects_version("gated", "1")})
    with Traffic(shared.port, ["/api/gated", "/api/steady"]) as traffic:
        shared.deploy(service("gated", "2"))
    assert traffic.tally.lost == 0, str(traffic.tally)
    assert shared.version("gated") == "1"
    stalled = shared.condition("gated", "Stalled")
    assert (stalled["reason"], stalled["file"]) == ("TestsFailed", "services/gated/tests.yaml")
    [problem] = shared.service("gated")["problems"]
    assert "says its version" in problem["message"] or "version" in (problem["expected"] or "")
    shared.deploy(expects_version("gated", "2"))
    assert shared.version("gated") == "2"


def test_without_a_gate_the_switch_comes_first(shared: Platform) -> None:
    shared.deploy({**service("open", manifest="gate: none\n"), **expects_version("open", "other")})
    assert shared.version("open") == "1"


def test_a_suite_that_is_written_wrong_is_told_before_anything_starts(shared: Platform) -> None:
    shared.deploy({**service("odd"), **suite("odd", "version: 1\ncases:\n  - name: nothing\n    GET: /version\n")})
    assert shared.condition("odd")["reason"] == "ManifestInvalid"
    assert "expects nothing" in shared.condition("odd")["message"]


def test_a_release_that_fails_under_traffic_gives_it_back(shared: Platform) -> None:
    shared.deploy({**service("worse", manifest=WATCHED), **expects_version("worse", "1")})
    shared.deploy({**service("worse", "2", also=FAILING, manifest=WATCHED), **expects_version("worse", "2")})
    assert shared.version("worse") == "2"
    for _ in range(8):
        shared.services.get("/api/worse/flaky")
    eventually(lambda: shared.version("worse") == "1", what="the previous release")
    told = eventually(lambda: shared.condition("worse", "RolledBack"), what="the word of it")
    assert "5xx" in told["message"]
    assert shared.condition("worse")["status"] == "False"
    shared.sync()
    assert shared.version("worse") == "1", "a quarantined digest is not tried again"
    shared.kill("control")
    shared.sync()
    assert shared.condition("worse", "RolledBack")["message"] == told["message"], "the next control knows it too"
    shared.deploy({**service("worse", "3", manifest=WATCHED), **expects_version("worse", "3")})
    assert shared.version("worse") == "3"
    assert not shared.condition("worse", "RolledBack")


def test_what_a_suite_asks_after_the_switch_is_no_traffic(shared: Platform) -> None:
    manifest = WATCHED + "gate: none\n"
    bad = "".join(f"  - {{name: fails {n}, GET: /flaky, expect: {{status: 500}}}}\n" for n in range(20))
    shared.deploy(service("judged", manifest=manifest))
    shared.deploy(
        {**service("judged", "2", also=FAILING, manifest=manifest), **suite("judged", f"version: 1\ncases:\n{bad}")}
    )
    eventually(lambda: shared.service("judged")["suite"], what="the suite's report")
    shared.services.get("/api/judged/flaky")
    with contextlib.suppress(AssertionError):
        eventually(
            lambda: shared.condition("judged", "RolledBack"), within=1.5, what="a rollback, which is not to come"
        )
    assert not shared.condition("judged", "RolledBack")
    assert shared.version("judged") == "2"


def test_whoever_knows_that_a_sync_is_over_meets_no_former_release(shared: Platform) -> None:
    blocks = """

@router.get("/block")
async def block():
    import time

    time.sleep(0.8)
"""
    shared.deploy(service("kept", also=blocks, manifest=WATCHED))
    with httpx.Client(base_url=str(shared.services.base_url), timeout=20) as client:
        assert client.get("/api/kept/version").json()["version"] == "1"
        blocked = threading.Thread(target=shared.services.get, args=["/api/kept/block"])
        blocked.start()
        shared.deploy(service("kept", "2", also=blocks, manifest=WATCHED))
        # On the connection that the former release held while it heard of nothing.
        assert client.get("/api/kept/version").json()["version"] == "2"
        blocked.join()


def test_a_watch_window_outlives_the_control_that_opened_it(shared: Platform) -> None:
    shared.deploy(service("windowed", manifest=WATCHED))
    before = shared.worker("windowed")
    shared.deploy(service("windowed", "2", also=FAILING, manifest=WATCHED))
    for _ in range(3):
        shared.services.get("/api/windowed/flaky")
    shared.kill("control")
    for _ in range(3):
        shared.services.get("/api/windowed/flaky")
    eventually(lambda: shared.is_ready() and shared.condition("windowed", "RolledBack"), within=20, what="a way back")
    answer = shared.services.get("/api/windowed/version").json()
    assert (answer["version"], answer["pid"]) == ("1", before), "it was still parked, and warm"
    assert "6 of " in shared.condition("windowed", "RolledBack")["message"]


def test_a_watch_window_ends_in_the_next_control_when_it_would_have_ended(shared: Platform) -> None:
    shared.deploy(service("late", manifest="watch_window: 3s\n"))
    before = shared.worker("late")
    shared.deploy(service("late", "2", manifest="watch_window: 3s\n"))
    shared.kill("control")
    eventually(lambda: before not in [process.pid for process in shared.family()], what="the former release to go")
    assert shared.version("late") == "2"


def test_a_release_that_crashes_soon_after_the_switch_gives_the_traffic_back(shared: Platform) -> None:
    dies = "\n\n@router.get('/die')\nasync def die():\n    os._exit(1)\n"
    shared.deploy(service("dying", manifest=WATCHED))
    shared.deploy(service("dying", "2", also=dies, manifest=WATCHED))
    assert shared.version("dying") == "2"
    with Traffic(shared.port, ["/api/steady"]) as traffic:
        with contextlib.suppress(httpx.TransportError):
            shared.services.get("/api/dying/die")
        eventually(lambda: shared.version("dying") == "1", what="the previous release")
    assert traffic.tally.lost == 0, str(traffic.tally)
    eventually(lambda: shared.condition("dying", "RolledBack"), what="the word of it")
