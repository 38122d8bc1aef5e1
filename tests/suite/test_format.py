"""What a person writes wrong is told at its line, all at once, with what to write instead."""

import pytest

from reconciler.model.document import Invalid
from tests.suite.declaring import declare, problems, suite

REFUSED: list[tuple[str, str, str, int, str]] = [
    (
        "an unknown key",
        "cases:\n- {name: a, GET: /x, expct: {status: 200}}",
        "unknown-field",
        3,
        "did you mean `expect`?",
    ),
    ("an unknown expectation", "cases:\n- {name: a, GET: /x, expect: {staus: 200}}", "unknown-field", 3, "`status`?"),
    ("a misspelt method", "cases:\n- {name: a, PSOT: /x, expect: {status: 200}}", "unknown-field", 3, "`POST`?"),
    ("a small method", "cases:\n- {name: a, get: /x, expect: {status: 200}}", "unknown-field", 3, "`GET`?"),
    (
        "a word of another tool",
        "cases:\n- {name: a, url: /x, expect: {status: 200}}",
        "unknown-field",
        3,
        "`GET: /tasks`",
    ),
    ("no request", "cases:\n- {name: a, expect: {status: 200}}", "no-request", 3, "a case asks for nothing"),
    ("two requests", "cases:\n- {name: a, GET: /x, PUT: /x, expect: {status: 200}}", "no-request", 3, "asks once"),
    ("no name", "cases:\n- {GET: /x, expect: {status: 200}}", "missing-field", 3, "a case has no name"),
    ("no expectation", "cases:\n- {name: a, GET: /x}", "expects-nothing", 3, "a case expects nothing"),
    (
        "an empty expectation",
        "cases:\n- {name: a, GET: /x, expect: {}}",
        "expects-nothing",
        3,
        "a case expects nothing",
    ),
    (
        "only a capture",
        "cases:\n- {name: a, GET: /x, capture: {i: $.i}}",
        "expects-nothing",
        3,
        "a case expects nothing",
    ),
    (
        "another host",
        "cases:\n- {name: a, GET: 'http://169.254.169.254/', expect: {status: 200}}",
        "not-below-service",
        3,
        "another host",
    ),
    (
        "another host without a scheme",
        "cases:\n- {name: a, GET: //evil/x, expect: {status: 200}}",
        "not-below-service",
        3,
        "another host",
    ),
    (
        "out of the service",
        "cases:\n- {name: a, GET: /../other/x, expect: {status: 200}}",
        "not-below-service",
        3,
        "leads out",
    ),
    (
        "out of it, encoded",
        "cases:\n- {name: a, GET: /%2E%2e/x, expect: {status: 200}}",
        "not-below-service",
        3,
        "leads out",
    ),
    ("a path without a slash", "cases:\n- {name: a, GET: x, expect: {status: 200}}", "not-below-service", 3, "a slash"),
    ("a status that is none", "cases:\n- {name: a, GET: /x, expect: {status: 2000}}", "bad-status", 3, "2xx"),
    (
        "a path that is no JSONPath",
        "cases:\n- {name: a, GET: /x, expect: {json: {items: 1}}}",
        "bad-jsonpath",
        3,
        "RFC 9535",
    ),
    (
        "a path of another language",
        "cases:\n- {name: a, GET: /x, expect: {json: {'$.a | $.b': 1}}}",
        "bad-jsonpath",
        3,
        "JSONPath",
    ),
    (
        "an unknown matcher",
        "cases:\n- {name: a, GET: /x, expect: {body: {contans: x}}}",
        "unknown-matcher",
        3,
        "`contains`?",
    ),
    (
        "an object without equals",
        "cases:\n- {name: a, GET: /x, expect: {json: {$: {}}}}",
        "bad-matcher",
        3,
        "{equals: {}}",
    ),
    (
        "a catastrophic pattern",
        "cases:\n- {name: a, GET: /x, expect: {body: {matches: '(a*)*\\1'}}}",
        "bad-matcher",
        3,
        "back-ref",
    ),
    (
        "a reference that is none",
        "cases:\n- {name: a, GET: '/${a b}', expect: {status: 200}}",
        "bad-template",
        3,
        "not a reference",
    ),
    ("a variable with a bad name", "vars: {9x: 1}", "bad-name", 2, "cannot be a variable"),
    ("a variable everybody has", "vars: {run: 1}", "bad-name", 2, "every suite has"),
    ("a bare number as time", "budget: {total: 10}", "wrong-type", 2, "write `10s`"),
    ("too long a timeout", "cases: [{name: a, GET: /x, timeout: 1h, expect: {status: 200}}]", "out-of-range", 2, "10m"),
    ("too long a budget", "budget: {total: 3h}", "out-of-range", 2, "10m"),
    (
        "a capture from nowhere",
        "cases:\n- {name: a, GET: /x, expect: {status: 200}, capture: {i: {}}}",
        "bad-capture",
        3,
        "one place",
    ),
    (
        "a pattern with two groups",
        "cases:\n- {name: a, GET: /x, expect: {status: 200}, capture: {i: {regex: '(a)(b)'}}}",
        "bad-pattern",
        3,
        "one group",
    ),
    (
        "two bodies",
        "cases:\n- {name: a, PUT: /x, text: a, json: 1, expect: {status: 200}}",
        "bad-body",
        3,
        "`json`, `text`",
    ),
    ("no rows", "cases:\n- {name: a, GET: /x, each: [], expect: {status: 200}}", "bad-each", 3, "no rows"),
    ("a key written twice", "vars: {}\nversion: 1", "duplicate-key", 3, "twice"),
    ("an include with a request", "cases:\n- {include: a.yaml, GET: /x}", "bad-include", 3, "stands alone"),
    (
        "an undefined variable",
        "cases:\n- name: a\n  GET: /x\n  json: {t: ['${titel}']}\n  expect: {status: 200}\nvars: {title: x}",
        "unknown-variable",
        5,
        "did you mean `title`?",
    ),
    (
        "a variable captured later",
        "cases:\n- {name: a, GET: '/${i}', expect: {status: 2xx}}\n"
        "- {name: b, GET: /x, expect: {status: 2xx}, capture: {i: $.i}}",
        "unknown-variable",
        3,
        "captured only later, by `b`",
    ),
    (
        "an undefined variable in an expectation",
        "cases:\n- name: a\n  GET: /x\n  expect:\n    json:\n      $.a: '${no}'",
        "unknown-variable",
        7,
        "`no` is not defined",
    ),
    ("an undefined variable in a variable", "vars: {a: '${b}', b: 1}", "unknown-variable", 2, "not defined above `a`"),
    (
        "a secret the service has not",
        "cases:\n- {name: a, GET: '/${secrets.KEY}', expect: {status: 200}}",
        "unknown-secret",
        3,
        "no secret `KEY`",
    ),
    (
        "a need of nobody",
        "cases:\n- {name: a, GET: /x, needs: creates, expect: {status: 200}}",
        "unknown-case",
        3,
        "`creates`",
    ),
    (
        "a name used twice",
        "cases:\n- {name: a, GET: /x, expect: {status: 200}}\n- {name: a, GET: /y, expect: {status: 200}}",
        "duplicate-name",
        4,
        "stands at line 3",
    ),
    (
        "a schema that is not there",
        "cases:\n- {name: a, GET: /x, expect: {schema: s.json}}",
        "missing-file",
        3,
        "`s.json`",
    ),
    (
        "a schema elsewhere",
        "cases:\n- {name: a, GET: /x, expect: {schema: ../../../etc/passwd}}",
        "missing-file",
        3,
        "passwd",
    ),
    ("an include that is not there", "include: shared.yaml", "missing-file", 2, "`shared.yaml`"),
    ("no cases", "vars: {a: 1}", "no-cases", 1, "without cases"),
]


@pytest.mark.parametrize(
    ("text", "code", "line", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_refused(text: str, code: str, line: int, told: str) -> None:
    found = [problem for problem in problems(text) if problem.code == code]
    assert found, problems(text)
    assert any(problem.line == line for problem in found), found
    said = " ".join(filter(None, (found[0].message, found[0].expected, found[0].remedy)))
    assert told in said
    assert {problem.file for problem in found} == {"services/tasks/tests.yaml"}
    assert {problem.service for problem in found} == {"tasks"}


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        """
        vars: {run: 1}
        cases:
          - {name: a, GET: /x}
          - {name: b, GET: //x, expect: {status: 200}}
          - {name: c, GET: /x, expect: {json: {x: 1}}}
        """
    )
    assert [problem.code for problem in found] == ["bad-name", "expects-nothing", "not-below-service", "bad-jsonpath"]
    assert [problem.line for problem in found] == sorted(problem.line or 0 for problem in found)


def test_any_method_can_be_a_key() -> None:
    (case,) = suite("cases: [{name: a, PURGE: /cache, expect: {status: 2xx}}]").cases
    assert case.request.method == "PURGE"


def test_the_example_of_the_product_page_is_a_suite() -> None:
    text = """
    vars: {title: "Write the docs"}
    setup: []
    cases:
      - name: create a task
        POST: /tasks
        headers: {X-Request-Id: "abc"}
        query: {user_id: u1}
        json: {title: "${title}"}
        expect:
          status: 201
          headers: {content-type: {matches: "^application/json"}, x-debug: absent}
          json:
            $.title: "${title}"
            $.id: {type: integer}
            $.tags[*]: {count: 2}
          schema: schemas/task.json
          body: {contains: docs}
          duration: {max: 300ms}
        capture: {task_id: $.id}
        retry: {attempts: 20, every: 100ms}
      - name: rejects an empty title
        POST: /tasks
        json: {title: ""}
        expect: {status: 422}
    teardown: []
    budget: {total: 10s, requests: 200}
    """
    first, second = suite(text, **{"schemas/task.json": '{"type": "object"}'}).cases
    assert len(first.expectations) == 9
    assert first.retry.attempts == 20
    assert second.place.line == 23


def test_a_place_is_the_line_of_the_expectation_itself() -> None:
    (case,) = suite("cases:\n- name: a\n  GET: /x\n  expect:\n    status: 200\n    json:\n      $.a: 1").cases
    assert [expectation.place.line for expectation in case.expectations] == [6, 8]


@pytest.mark.parametrize(
    "schema", ['{"$ref": "http://169.254.169.254/x"}', '{"$ref": "file:///etc/passwd"}', "[1]", "{", '{"type": 5}']
)
def test_a_schema_that_cannot_be_used_is_refused(schema: str) -> None:
    found = problems("cases: [{name: a, GET: /x, expect: {schema: s.json}}]", **{"s.json": schema})
    assert [problem.code for problem in found] == ["bad-schema"]


def test_a_schema_refers_to_files_of_its_own_service() -> None:
    text = "cases: [{name: a, GET: /x, expect: {schema: schemas/a.json}}]"
    assert not problems(text, **{"schemas/a.json": '{"$ref": "b.json"}', "schemas/b.json": '{"type": "integer"}'})


def test_a_schema_whose_references_multiply_is_refused() -> None:
    laugh = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)} | {"a40": {}}
    text = f'{{"$ref": "#/$defs/a0", "$defs": {str(laugh).replace(chr(39), chr(34))}}}'
    (found,) = problems("cases: [{name: a, GET: /x, expect: {schema: s.json}}]", **{"s.json": text})
    assert "multiply" in found.message


def test_ten_thousand_cases_are_refused() -> None:
    rows = ", ".join("1" for _ in range(1_001))
    found = problems(f"cases: [{{name: a, GET: /x, expect: {{status: 200}}, each: [{rows}]}}]")
    assert [problem.code for problem in found] == ["too-many-cases"]


def test_includes_that_multiply_are_refused_before_they_are_all_read() -> None:
    content = {
        f"i{n}.yaml": "version: 1\ncases:\n"
        + f"- include: i{n + 1}.yaml\n" * 0
        + "".join(f"- {{name: n{k}, include: i{n + 1}.yaml}}\n" for k in range(10))
        for n in range(7)
    }
    content["i7.yaml"] = "version: 1\ncases: [{name: a, GET: /x, expect: {status: 200}}]"
    with pytest.raises(Invalid) as refused:
        declare({**content, "tests.yaml": "version: 1\ninclude: i0.yaml"})
    assert "too-many-cases" in {problem.code for problem in refused.value.problems}
