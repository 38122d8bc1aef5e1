"""A failing case can be taken along: as a `curl` line, and as a `.hurl` entry that says the same."""

import asyncio
import shlex
import subprocess

import pytest

from reconciler.model.verdict import CaseResult
from reconciler.suite.play import play
from reconciler.suite.target import Target
from tests.suite.declaring import declare, played
from tests.suite.serving import serve_on_loopback
from tests.suite.tasks_service import tasks_app

CASE = """
cases:
  - name: create a task
    POST: /tasks
    query: {q: "a b"}
    headers: {X-Note: "it's"}
    json: {title: "Write the \\"docs\\""}
    expect:
      status: [200, 202]
      headers: {content-type: {starts_with: application/json}, x-debug: absent}
      json:
        $.title: {matches: "^Write/?", not: nothing, type: string}
        $.tags: {count: 2, contains: a}
        $.id: {gt: 0, in: [1, 2]}
      schema: openapi
      duration: {max: 5s}
"""


@pytest.fixture(scope="module")
def failed(tasks: Target) -> CaseResult:
    return played(CASE, tasks, replay=False).failing[0]


def test_as_hurl_it_says_the_same(failed: CaseResult, tasks: Target) -> None:
    assert failed.hurl is not None
    lines = failed.hurl.splitlines()
    assert lines[:3] == [
        "# hurl --variable base_url=http://127.0.0.1:8000/api/tasks",
        "# create a task",
        "POST {{base_url}}/tasks?q=a+b",
    ]
    assert 'jsonpath "$.title" not == "nothing"' in lines
    assert '# jsonpath "$.id" is one of [1, 2]' in lines
    assert "# a body that fits the service's OpenAPI document" in lines
    (again,) = declare({"service.yaml": "version: 1\ntests: [a.hurl]", "a.hurl": failed.hurl}).suites
    (result,) = asyncio.run(play([again], tasks, replay=False)).failing
    assert [mismatch.what for mismatch in result.mismatches] == ["status toString"]


def test_as_curl_it_can_be_sent_again(failed: CaseResult) -> None:
    assert failed.curl is not None
    with serve_on_loopback(tasks_app()) as url:
        words = shlex.split(failed.curl.replace("http://127.0.0.1:8000", url))
        answer = subprocess.run([*words, "-s"], capture_output=True, text=True, check=True, timeout=20).stdout
    assert answer.startswith("HTTP/1.1 201")
    assert '"title":"Write the \\"docs\\""' in answer


def test_a_case_that_passed_needs_neither(tasks: Target) -> None:
    (passed,) = played("cases: [{name: a, GET: /tasks, expect: {status: 200}}]", tasks).cases
    assert (passed.curl, passed.hurl) == (None, None)
