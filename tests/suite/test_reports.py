"""The same failure in a terminal, in JUnit, in TAP and in JSON; the documentation shows the very same text."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from reconciler.model.verdict import Report
from reconciler.suite.report.junit import junit
from reconciler.suite.report.tap import tap
from reconciler.suite.report.text import text
from reconciler.suite.target import Target
from tests.suite.declaring import played

DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "suites.md"
SUITE = """
setup: []
cases:
  - name: create a task
    POST: /tasks
    json: {title: Write the docs}
    expect:
      status: 200
      json:
        $.title: Write the tests
        $.tags[*]: {count: 3}
    capture: {task_id: $.id}
  - name: read it back
    GET: /tasks/${task_id}
    needs: create a task
    expect: {status: 200}
  - name: rejects an empty title
    POST: /tasks
    json: {title: ""}
    expect: {status: 422}
"""


@pytest.fixture(scope="module")
def report(tasks: Target) -> Report:
    async def logs(_request_id: str) -> list[str]:
        return ["WARNING tasks: the title looks unfinished"]

    return played(SUITE, tasks, logs=logs, replay=False)


def steady(told: str) -> str:
    """Without what differs from run to run."""
    told = re.sub(r"\d+(\.\d+)? m?s\b", "12 ms", told)
    return re.sub(r'"id":\d+', '"id":1', told)


def test_a_failure_reads_as_the_documentation_shows_it(report: Report) -> None:
    documented = re.search(r"```text\n(✗ create a task.*?)```", DOCUMENTED.read_text(), re.DOTALL)
    assert documented is not None
    assert steady(text(report)) == documented[1]


def test_every_case_can_be_told(report: Report) -> None:
    told = text(report, every_case=True)
    assert "✓ rejects an empty title" in told
    assert "- read it back (0 ms): it needs `create a task`, which did not pass" in told


def test_junit(report: Report) -> None:
    root = Xml.fromstring(junit(report))
    (found,) = root
    assert (found.get("tests"), found.get("failures"), found.get("skipped"), found.get("errors")) == (
        "3",
        "1",
        "1",
        "0",
    )
    failure = found.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "status: expected 200, got 201 (and 2 more)"
    assert "curl -i -X POST" in (failure.text or "")


def test_tap(report: Report) -> None:
    lines = tap(report).splitlines()
    assert lines[:3] == ["TAP version 14", "1..3", "not ok 1 - tests.yaml: create a task"]
    assert "ok 2 - tests.yaml: read it back # SKIP it needs `create a task`, which did not pass" in lines
    assert lines[-1] == "ok 3 - tests.yaml: rejects an empty title"


def test_json_holds_everything(report: Report) -> None:
    told = json.loads(json.dumps(report.to_json()))
    assert told["verdict"] == "failed"
    case = told["suites"][0]["cases"][0]
    assert case["mismatches"][0] == {
        "what": "status",
        "expected": "200",
        "got": "201",
        "path": None,
        "file": "services/tasks/tests.yaml",
        "line": 9,
    }
    assert case["logs"] == ["WARNING tasks: the title looks unfinished"]


def test_a_flaky_suite_is_told_as_such_everywhere(tasks: Target) -> None:
    flaky = played("cases: [{name: a, GET: '/soon/told?after=2', expect: {json: {$.state: done}}}]", tasks)
    assert text(flaky).startswith("tests.yaml is flaky: it failed, was played again, and passed. The first time:")
    assert "passed, flaky: tasks (tasks-7): 1 passed" in text(flaky)
    assert "flaky: a: json $.state" in junit(flaky)
    assert flaky.to_json()["flaky"] is True


def test_a_suite_that_could_not_be_played_is_an_error_everywhere(tasks: Target) -> None:
    nobody = Target("/nowhere.sock", tasks.prefix, tasks.service, tasks.release)
    unplayed = played("cases: [{name: a, GET: /x, expect: {status: 200, schema: openapi}}]", nobody)
    assert "openapi.json cannot be read" in text(unplayed)
    assert Xml.fromstring(junit(unplayed)).find("testsuite/testcase/error") is not None
    assert tap(unplayed).splitlines()[2].startswith("not ok 1 - tests.yaml: /openapi.json cannot be read")
