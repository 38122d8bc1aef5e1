"""Suites against a real service on a real socket: what passes, what fails, and what is said about it."""

import asyncio

import pytest

from reconciler.model.verdict import Outcome, Report, Verdict, problems
from reconciler.suite.play import play
from reconciler.suite.target import Target
from tests.suite.declaring import case, declare, played, suite

SCHEMA = '{"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id", "title"]}'


def outcomes(report: Report) -> dict[str, str]:
    return {result.name: str(result.outcome) for result in report.cases}


def test_a_suite_with_everything_in_it_passes(tasks: Target) -> None:
    report = played(
        """
        vars: {title: "Write the docs", full: "${title} today"}
        setup:
          - name: log in
            GET: /login
            expect: {status: 200, headers: {set-cookie: {contains: HttpOnly}}}
            capture: {token: $.token, session: {cookie: session}}
        cases:
          - name: create a task
            POST: /tasks
            json: {title: "${full}", tags: [x, y]}
            expect:
              status: [200, 201]
              headers: {content-type: {matches: "^application/json"}, x-debug: absent, etag: exists}
              json:
                $.title: "${full}"
                $.id: {type: integer, gt: 0}
                $.tags[*]: {count: 2, in: [x, y]}
              schema: schemas/task.json
              body: {contains: docs}
              duration: {max: 4s}
            capture: {task_id: $.id, etag: {header: etag}, first_tag: "$.tags[0]"}
          - name: read it
            GET: /tasks/${task_id}
            needs: create a task
            expect: {status: "2xx", json: {$.id: "${task_id}", "$.tags[?@ == '${first_tag}']": {count: 1}}}
          - name: cookies go back
            GET: /echo
            headers: {Authorization: "Bearer ${token}", X-Many: [a, b]}
            query: {q: "a b&c", n: 5, "${first_tag}": [1, 2]}
            expect:
              json:
                $.cookies.session: "${session}"
                $.headers.authorization: Bearer t0k3n
                $.headers['x-request-id']: {starts_with: suite-}
                $.query: [[q, "a b&c"], [n, "5"], ["${first_tag}", "1"], ["${first_tag}", "2"]]
            capture: {everything: $}
          - name: captures keep their type
            POST: /echo
            json: {all: "${everything.cookies}", n: "${task_id}", run: "${run.service}/${run.release}"}
            expect: {json: {$.body: {contains: '"all":{"session":"s3ss10n"}'}}, body: {contains: tasks/tasks-7}}
          - name: a form
            POST: /echo
            form: {name: Ada Lovelace, size: 3}
            expect:
              json:
                $.body: name=Ada+Lovelace&size=3
                $.headers['content-type']: application/x-www-form-urlencoded
          - name: a text
            PUT: /echo
            text: "hello ${token}"
            expect: {json: {$.body: hello t0k3n, $.method: PUT}}
          - name: files
            POST: /echo
            form: {note: "for ${token}"}
            files: {one: notes.txt, two: {content: "made of ${token}", name: two.csv, type: text/csv}}
            expect:
              json:
                $.headers['content-type']: {starts_with: multipart/form-data}
                $.body: {contains: 'filename="two.csv"', matches: "(?s)for t0k3n.*the notes.*made of t0k3n"}
          - name: a custom method
            PURGE: /echo
            expect: {json: {$.method: PURGE}}
          - name: a pattern in the body
            GET: /text
            expect: {status: 200, body: {matches: "name=[A-Z]"}}
            capture: {order: {regex: "order=(\\\\d+)"}, kind: {header: content-type, regex: "^(\\\\w+)/"}}
          - name: a captured pattern
            GET: /echo?order=${order}&kind=${kind}
            expect: {json: {$.query: [[order, "17"], [kind, text]]}}
          - name: until it is done
            GET: /soon/${run.id}
            expect: {json: {$.state: done}}
            retry: {attempts: 10, every: 1ms}
          - name: a redirect as it is
            GET: /moved
            expect: {status: 307, headers: {location: /api/tasks/tasks}}
          - name: a redirect that is followed
            GET: /moved
            follow_redirects: true
            expect: {status: 200, json: {$: {type: array}}}
          - name: what the service promises
            GET: /tasks/${task_id}
            expect: {schema: openapi}
        teardown:
          - {name: remove it, DELETE: "/tasks/${task_id}", expect: {status: 204}}
        """,
        tasks,
        with_files={"schemas/task.json": SCHEMA, "notes.txt": "the notes"},
    )
    assert not report.failing, report.failing
    assert report.verdict is Verdict.PASSED
    assert set(outcomes(report).values()) == {"passed"}
    assert case(report, "until it is done").attempts == 3
    assert report.summary == "16 of 16 cases passed"


def test_a_failure_says_all_that_is_wrong_and_where(tasks: Target) -> None:
    report = played(
        """
        cases:
          - name: create a task
            POST: /tasks
            json: {title: "It's"}
            headers: {X-Request-Id: mine}
            expect:
              status: 200
              headers: {x-missing: exists}
              json: {$.title: {starts_with: Un}, "$.tags[*]": {count: 3}}
              schema: schemas/task.json
              body: absurd
              duration: {max: 1ms}
        """,
        tasks,
        with_files={"schemas/task.json": '{"properties": {"tags": {"items": {"type": "integer"}}}}'},
        replay=False,
    )
    (failed,) = report.failing
    told = [
        (mismatch.what, mismatch.expected, mismatch.got, mismatch.path, mismatch.line) for mismatch in failed.mismatches
    ]
    body = '{"title":"It\'s","tags":["a","b"],"id":'
    assert told[:6] == [
        ("status", "200", "201", None, 9),
        ("header x-missing", "exists", "nothing", None, 10),
        ("json $.title", 'starts with "Un"', '"It\'s"', "$.title", 11),
        ("json $.tags[*]", "count 3", '["a", "b"]', "$.tags[*]", 11),
        ("schema", "a body that fits schemas/task.json", '"a" is not of type "integer" at $.tags[0]', "$.tags[0]", 12),
        ("schema", "a body that fits schemas/task.json", '"b" is not of type "integer" at $.tags[1]', "$.tags[1]", 12),
    ]
    assert told[6][:2] == ("body", '"absurd"')
    assert told[7][:2] == ("duration", "at most 1 ms")
    assert failed.curl is not None
    assert failed.curl.startswith("curl -i -X POST http://127.0.0.1:8000/api/tasks/tasks -H 'X-Request-Id: mine'")
    assert """--data-raw '{"title":"It'"'"'s"}'""" in failed.curl
    assert failed.request_id == "mine"
    assert failed.response is not None
    assert (failed.response.status, failed.response.body[: len(body)]) == (201, body)
    assert (failed.file, failed.line) == ("services/tasks/tests.yaml", 4)
    assert report.verdict is Verdict.FAILED
    assert report.summary.startswith("0 of 1 cases passed; create a task: status: expected 200, got 201 (and ")


def test_a_failure_is_a_problem_like_any_other(tasks: Target) -> None:
    report = played("cases:\n- name: a\n  GET: /broken\n  expect:\n    status: 200", tasks)
    (problem,) = problems(report)
    assert (problem.file, problem.line, problem.code, problem.service) == (
        "services/tasks/tests.yaml",
        6,
        "case-failed",
        "tasks",
    )
    assert problem.message == "a: status is 500"
    assert problem.expected == "200"


def test_cases_go_on_after_a_failure_and_only_what_needs_it_is_skipped(tasks: Target) -> None:
    report = played(
        """
        cases:
          - {name: broken, GET: /broken, expect: {status: 200}, capture: {run: $.x, id: $.id}}
          - {name: uses its capture, GET: "/tasks/${id}", expect: {status: 200}}
          - {name: needs it, GET: /tasks, needs: [broken], expect: {status: 200}}
          - {name: stands alone, GET: /tasks, expect: {status: 200}}
        """.replace("run: $.x, ", ""),
        tasks,
    )
    assert list(outcomes(report).values()) == ["failed", "skipped", "skipped", "passed"]
    assert case(report, "uses its capture").reason == "`id` was never captured"
    assert case(report, "needs it").reason == "it needs `broken`, which did not pass"


def test_what_was_captured_before_a_failure_can_be_cleaned_up(tasks: Target) -> None:
    report = played(
        """
        cases: [{name: a, POST: /tasks, json: {title: x}, expect: {status: 200}, capture: {id: $.id}}]
        teardown: [{name: clean, DELETE: "/tasks/${id}", expect: {status: 204}}]
        """,
        tasks,
        replay=False,
    )
    assert list(outcomes(report).values()) == ["failed", "passed"]


def test_a_failed_setup_is_inconclusive_and_still_cleaned_up(tasks: Target) -> None:
    report = played(
        """
        setup:
          - {name: make, POST: /tasks, json: {title: x}, expect: {status: 201}, capture: {id: $.id}}
          - {name: prepare, GET: /broken, expect: {status: 200}}
        cases: [{name: a, GET: /tasks, expect: {status: 200}}]
        teardown: [{name: clean, DELETE: "/tasks/${id}", expect: {status: 204}}]
        """,
        tasks,
    )
    assert report.verdict is Verdict.INCONCLUSIVE
    assert outcomes(report) == {"make": "passed", "prepare": "failed", "a": "skipped", "clean": "passed"}
    assert report.suites[0].reason == "setup failed: prepare: status: expected 200, got 500"


def test_a_failed_teardown_is_told_and_changes_no_verdict(tasks: Target) -> None:
    report = played(
        """
        cases: [{name: a, GET: /tasks, expect: {status: 200}}]
        teardown: [{name: clean, GET: /broken, expect: {status: 200}}]
        """,
        tasks,
    )
    assert report.verdict is Verdict.PASSED
    assert case(report, "clean").outcome is Outcome.FAILED


def test_a_flaky_suite_passes_and_is_told_with_both_results(tasks: Target) -> None:
    report = played("cases: [{name: a, GET: '/soon/flaky?after=2', expect: {json: {$.state: done}}}]", tasks)
    (result,) = report.suites
    assert report.verdict is Verdict.PASSED
    assert report.flaky
    assert result.first is not None
    assert result.first.verdict is Verdict.FAILED
    assert result.requests == 2
    assert result.first.cases[0].mismatches[0].got == '"pending"'
    assert "after a first try that failed" in report.summary


def test_what_fails_twice_has_failed(tasks: Target) -> None:
    report = played("cases: [{name: a, GET: '/soon/never?after=99', expect: {json: {$.state: done}}}]", tasks)
    assert (report.verdict, report.flaky) == (Verdict.FAILED, False)


def test_suites_do_not_see_each_others_captures_and_cookies(tasks: Target) -> None:
    leaks = "version: 1\ncases: [{name: a, GET: /login, expect: {status: 200}, capture: {token: $.token}}]"
    looks = """
        version: 1
        cases:
          - {name: b, GET: /echo, expect: {json: {$.cookies: {equals: {}}}}}
        """
    found = declare({"service.yaml": "version: 1\ntests: [a.yaml, b.yaml]", "a.yaml": leaks, "b.yaml": looks})
    for _ in range(3):
        assert asyncio.run(play(found.suites, tasks)).verdict is Verdict.PASSED


def test_tags_choose_cases_with_all_they_need(tasks: Target) -> None:
    report = played(
        """
        cases:
          - {name: makes, POST: /tasks, json: {title: x}, expect: {status: 201}, capture: {id: $.id}}
          - {name: other, GET: /broken, expect: {status: 200}}
          - {name: reads, GET: "/tasks/${id}", expect: {status: 200}}
          - {name: smoke, GET: /tasks, tags: [smoke], needs: reads, expect: {status: 200}}
        """,
        tasks,
        tags=["smoke"],
    )
    assert list(outcomes(report)) == ["makes", "reads", "smoke"]
    assert report.verdict is Verdict.PASSED


def test_secrets_are_used_and_never_told(tasks: Target) -> None:
    case = "{name: a, GET: /who, headers: {Authorization: 'Bearer ${secrets.KEY}'}, expect: {status: 201}}"
    found = declare({"tests.yaml": f"version: 1\ncases: [{case}]"}, secrets=["KEY"])
    target = Target(tasks.socket, tasks.prefix, tasks.service, tasks.release, secrets={"KEY": "s3cr3t-value"})

    async def logs(_request_id: str) -> list[str]:
        return ["authorized with s3cr3t-value"]

    def redact(text: str, **_: bool) -> str:
        return text.replace("s3cr3t-value", "***")

    report = asyncio.run(play(found.suites, target, redact=redact, logs=logs))
    (failed,) = report.failing
    assert failed.response is not None
    assert failed.response.body == '{"authorization":"Bearer ***"}'
    assert failed.logs == ("authorized with ***",)
    assert "s3cr3t-value" not in str(report.to_json())
    assert "s3cr3t-value" not in repr(target)


def test_the_services_own_lines_are_asked_for_by_request_id(tasks: Target) -> None:
    asked: list[str] = []

    async def logs(request_id: str) -> list[str]:
        asked.append(request_id)
        return ["one", "two"]

    report = played(
        """
        cases:
          - {name: good, GET: /tasks, expect: {status: 200}}
          - {name: bad, GET: /echo, expect: {json: {$.nothing: exists}}}
        """,
        tasks,
        logs=logs,
        replay=False,
    )
    failed = case(report, "bad")
    assert asked == [failed.request_id]
    assert failed.logs == ("one", "two")
    assert failed.response is not None
    assert f'"x-request-id":"{failed.request_id}"' in failed.response.body


def test_every_request_has_an_id_of_its_own(tasks: Target) -> None:
    report = played("cases: [{name: a, GET: /tasks, each: [1, 2, 3], expect: {status: 200}}]", tasks)
    assert len({result.request_id for result in report.cases}) == 3


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ("{json: {$.x: 1}}", "text/plain that is not JSON"),
        ("{schema: openapi}", "nothing about it"),
        ("{json: {$: {type: object}}, status: 200}", "text/plain that is not JSON"),
    ],
)
def test_a_body_that_cannot_be_looked_at_says_why(tasks: Target, expect: str, told: str) -> None:
    path = "/echo" if "openapi" in expect else "/text"
    report = played(f"cases: [{{name: a, GET: {path}, expect: {expect}}}]", tasks)
    assert told in report.failing[0].mismatches[0].got


def test_the_openapi_document_is_the_services_promise(tasks: Target) -> None:
    report = played(
        """
        cases:
          - {name: broken promise, GET: /promised, expect: {schema: openapi}}
          - {name: undocumented status, GET: /tasks/999999, expect: {schema: openapi}}
          - {name: documented refusal, POST: /tasks, json: {}, expect: {status: 422, schema: openapi}}
        """,
        tasks,
    )
    broken, undocumented, refusal = report.cases
    assert broken.mismatches[0].expected == "a body that fits GET /api/tasks/promised → 200"
    assert broken.mismatches[0].got == '"one" is not of type "integer"'
    assert broken.mismatches[0].path == "$.id"
    assert undocumented.mismatches[0].expected == "a status documented for GET /api/tasks/tasks/{task_id} (200, 422)"
    assert refusal.outcome is Outcome.PASSED


def test_a_suite_is_played_any_number_of_times(tasks: Target) -> None:
    found = suite("cases: [{name: a, GET: /tasks, expect: {status: 200}}]")

    async def often() -> list[Report]:
        return list(await asyncio.gather(*(play([found], tasks) for _ in range(5))))

    assert {report.verdict for report in asyncio.run(often())} == {Verdict.PASSED}


def test_no_suite_is_no_objection(tasks: Target) -> None:
    report = asyncio.run(play([], tasks))
    assert (report.verdict, report.summary) == (Verdict.PASSED, "no case was played")
