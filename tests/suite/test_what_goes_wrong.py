"""A suite that hangs, loops, hoards, wanders or is hostile harms nobody, and the report says what happened."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.suite.jsonpath import PathError, path
from reconciler.model.suite.pattern import pattern
from reconciler.model.suite.schema import Schema
from reconciler.model.verdict import Outcome, Verdict
from reconciler.suite.exchange import connect
from reconciler.suite.extraction import TooSlow, extract
from reconciler.suite.play import play
from reconciler.suite.target import Target
from tests.suite.declaring import case, played, suite
from tests.waiting import until, until_sync


def elsewhere(socket: str) -> Target:
    return Target(socket, "/api/tasks", ServiceName("tasks"), ReleaseId("tasks-8"))


def test_a_service_that_hangs_fails_its_case_in_time(tasks: Target) -> None:
    report = played(
        """
        cases:
          - {name: hangs, GET: /hang, timeout: 50ms, expect: {status: 200}}
          - {name: goes on, GET: /tasks, expect: {status: 200}}
        """,
        tasks,
        replay=False,
    )
    assert case(report, "hangs").reason == "no answer within 0.05 s"
    assert case(report, "goes on").outcome is Outcome.PASSED
    assert report.verdict is Verdict.FAILED


def test_a_spent_budget_of_time_is_inconclusive_and_still_cleaned_up(tasks: Target) -> None:
    report = played(
        """
        cases:
          - name: waits
            GET: /soon/budget?after=99999
            expect: {json: {$.state: done}}
            retry: {attempts: 1000, every: 5ms}
          - {name: never reached, GET: /tasks, expect: {status: 200}}
        teardown: [{name: clean, GET: /tasks, expect: {status: 200}}]
        budget: {total: 2s, requests: 10000}
        """,
        tasks,
    )
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.suites[0].reason == "its budget of 2 s is spent"
    assert case(report, "never reached").outcome is Outcome.SKIPPED
    assert case(report, "never reached").reason == "its budget of 2 s is spent"
    assert case(report, "clean").outcome is Outcome.PASSED


def test_a_spent_budget_of_requests_is_inconclusive(tasks: Target) -> None:
    report = played(
        """
        cases: [{name: loops, GET: /hmm, expect: {status: 200}, retry: {attempts: 1000, every: 1ms}}]
        budget: {requests: 7}
        """,
        tasks,
    )
    assert (report.verdict, report.suites[0].requests) == (Verdict.INCONCLUSIVE, 7)
    assert report.suites[0].reason == "its budget of 7 requests is spent"


def test_playing_again_is_paid_from_the_same_seconds(tasks: Target) -> None:
    begun = time.monotonic()
    report = played(
        """
        cases: [{name: a, GET: /hang, timeout: 500ms, each: [1, 2], expect: {status: 200}}]
        budget: {total: 2s}
        """,
        tasks,
    )
    assert report.verdict is Verdict.FAILED
    assert time.monotonic() - begun < 30


def test_nobody_on_the_socket_is_inconclusive(tmp_path: Path) -> None:
    report = played("cases: [{name: a, GET: /x, expect: {status: 200}}]", elsewhere(str(tmp_path / "no.sock")))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "no connection to the candidate" in report.summary


DYING = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".early")
listener.listen()
os.rename(sys.argv[1] + ".early", sys.argv[1])
connection, _ = listener.accept()
connection.recv(1000)
os.kill(os.getpid(), 9)
"""


def test_a_candidate_that_dies_while_it_answers_fails() -> None:
    with TemporaryDirectory(prefix="rcl-") as folder:
        place = Path(folder) / "h.sock"
        with subprocess.Popen([sys.executable, "-c", DYING, place]) as candidate:
            try:
                until_sync(place.exists, what="the candidate to listen")
                report = played(
                    "cases: [{name: a, GET: /x, expect: {status: 200}}]", elsewhere(str(place)), replay=False
                )
            finally:
                candidate.kill()
    assert report.verdict is Verdict.FAILED
    assert "closed the connection" in (report.cases[0].reason or "")


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ("{body: {contains: xx}}", "more than 1 MiB"),
        ("{json: {$.a: 1}}", "more than 1 MiB"),
        ("{status: 200}, capture: {all: {body: true}}", "more than 1 MiB"),
    ],
)
def test_a_large_body_is_not_looked_at(tasks: Target, expect: str, told: str) -> None:
    report = played(f"cases: [{{name: a, GET: /big, expect: {expect}}}]", tasks, replay=False)
    assert told in report.failing[0].summary


def test_a_large_body_does_no_harm_to_who_ignores_it(tasks: Target) -> None:
    assert played("cases: [{name: a, GET: /big, expect: {status: 200}}]", tasks).verdict is Verdict.PASSED


def test_a_body_without_end_is_not_read_any_further(tasks: Target) -> None:
    report = played("cases: [{name: a, GET: /endless, expect: {status: 200}}]", tasks, replay=False)
    assert report.failing[0].reason == "the body is larger than 8 MiB, and was not read any further"


def test_a_capture_has_a_limit(tasks: Target) -> None:
    report = played(
        "cases: [{name: a, GET: '/big?size=70000', expect: {status: 200}, capture: {all: {body: true}}}]",
        tasks,
        replay=False,
    )
    assert report.failing[0].mismatches[0].got == "one of more than 64 kB"


def test_a_redirect_to_elsewhere_is_not_followed(tasks: Target) -> None:
    report = played(
        """
        cases:
          - {name: away, GET: "/moved?to=http://169.254.169.254/", follow_redirects: true, expect: {status: 200}}
          - {name: twice, GET: "/moved?to=/api/tasks/moved", follow_redirects: true, expect: {status: 200}}
        """,
        tasks,
        replay=False,
    )
    assert (
        case(report, "away").reason == "it redirects to http://169.254.169.254, and a suite asks its own service only"
    )
    assert case(report, "twice").outcome is Outcome.PASSED


def test_endless_redirects_end(tasks: Target) -> None:
    report = played(
        """
        cases: [{name: a, GET: "/moved?to=/api/tasks/circle", follow_redirects: true, expect: {status: 200}}]
        """,
        tasks,
        replay=False,
    )
    assert report.failing[0].reason == "more than 5 redirects"


@pytest.mark.parametrize("location", ["//169.254.169.254/x", "http://169.254.169.254/", "/../../other/x", "no-slash"])
def test_a_capture_cannot_lead_out_of_the_service(tasks: Target, location: str) -> None:
    report = played(
        f"""
        cases:
          - {{name: get, GET: "/echo?to={location}", expect: {{status: 200}}, capture: {{to: "$.query[0][1]"}}}}
          - {{name: follow, GET: "${{to}}", expect: {{status: 200}}}}
        """,
        tasks,
        replay=False,
    )
    assert case(report, "follow").outcome is Outcome.FAILED
    assert case(report, "follow").curl is None


def test_a_capture_cannot_break_a_header(tasks: Target) -> None:
    report = played(
        """
        cases:
          - {name: get, GET: "/echo?v=a%0d%0aX-Evil:%201", expect: {status: 200}, capture: {v: "$.query[0][1]"}}
          - {name: send, GET: /echo, headers: {X-Good: "${v}"}, expect: {status: 200}}
        """,
        tasks,
        replay=False,
    )
    assert "line break" in (case(report, "send").reason or "")


def test_a_catastrophic_pattern_takes_no_time() -> None:
    begun = time.process_time()
    assert not pattern(r"^(a+)+$").found_in("a" * 50_000 + "b")
    assert path("$[?match(@, '(a+)+')]").find(["a" * 5_000 + "b"]) == []
    assert list(Schema({"pattern": r"(?<!x)(a|aa)+(?!y)$"}, "s.json").faults("a" * 100 + "b"))
    assert time.process_time() - begun < 2


def test_a_captured_pattern_that_needs_forever_is_stopped_while_others_go_on() -> None:
    async def scenario() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        others = asyncio.create_task(tick())
        with pytest.raises(TooSlow, match="takes longer than"):
            await extract(r"(?:(?:a+)+c|(a))", "a" * 60, seconds=2.0)
        others.cancel()
        return ticks

    assert asyncio.run(scenario()) > 5


@pytest.mark.parametrize("text", ["$..*..*..*..*", "$..[?count($..*) > 0]"])
def test_a_path_that_visits_everything_many_times_is_stopped(text: str) -> None:
    document = {"items": [{"id": n, "tags": ["a", "b"]} for n in range(3_000)]}
    begun = time.process_time()
    with pytest.raises(PathError, match="visits more than"):
        path(text).find(document)
    assert time.process_time() - begun < 5


def test_json_that_is_nested_without_end_is_no_reason_to_fall(tasks: Target) -> None:
    report = played(
        """
        cases:
          - {name: a, GET: "/deep?levels=900", expect: {json: {$: {type: array}}}, capture: {all: $}}
          - {name: b, GET: "/deep?levels=900", expect: {json: {$: "${all}"}, schema: s.json}}
          - {name: c, GET: "/deep?levels=200000", expect: {json: {$: {type: array}}}}
          - {name: d, GET: /tasks, expect: {status: 200}}
        """,
        tasks,
        with_files={"s.json": '{"items": {"$ref": "#"}}'},
        replay=False,
    )
    assert case(report, "c").outcome is Outcome.FAILED
    assert case(report, "d").outcome is Outcome.PASSED


def test_cancelling_plays_the_teardown_all_the_same(tasks: Target) -> None:
    found = suite(
        """
        cases: [{name: a, GET: "/hang?key=begun", expect: {status: 200}}]
        teardown: [{name: clean, GET: /soon/cleaned, expect: {status: 200}}]
        """
    )

    async def scenario() -> None:
        async with connect(tasks.socket) as client:

            async def asked(key: str) -> int:
                return int((await client.get(f"http://service{tasks.prefix}/asked/{key}")).json())

            begun: Callable[[], int | Awaitable[int]] = partial(asked, "begun")
            playing = asyncio.create_task(play([found], tasks))
            await until(begun, what="the request to arrive")
            playing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await playing
            assert await asked("cleaned")

    asyncio.run(scenario())


def test_what_a_service_says_cannot_act_on_a_terminal(tasks: Target) -> None:
    report = played(
        "cases: [{name: a, GET: '/echo?x=%1b%5B2J%E2%80%AE', expect: {json: {$.query: nothing}}}]", tasks, replay=False
    )
    (failed,) = report.failing
    assert "\x1b" not in str(failed)
    assert "\u202e" not in str(failed)
