"""Files, rows, includes and needs become the cases that are played."""

import pytest

from reconciler.model.document import Invalid
from tests.suite.declaring import declare, problems, suite

ONE = "version: 1\ncases: [{name: a, GET: /x, expect: {status: 200}}]"


def names(content: dict[str, str]) -> list[str]:
    return [found.name for found in declare(content).suites]


def test_without_a_word_tests_yaml_is_the_suite() -> None:
    assert names({"tests.yaml": ONE, "other.yaml": ONE}) == ["tests.yaml"]
    assert names({"other.yaml": ONE}) == []


def test_the_manifest_names_files_and_globs() -> None:
    content = {
        "service.yaml": "version: 1\ntests: [smoke.yaml, 'tests/**/*.yaml', 'test_*.py']",
        "smoke.yaml": ONE,
        "tests/b.yaml": ONE,
        "tests/deep/a.yaml": ONE,
        "test_slow.py": "",
    }
    found = declare(content)
    assert [one.name for one in found.suites] == ["smoke.yaml", "tests/b.yaml", "tests/deep/a.yaml"]
    assert found.pytest_files == ("services/tasks/test_slow.py",)


@pytest.mark.parametrize("named", ["gone.yaml", "gone/*.yaml", "/etc/passwd", "../../other/tests.yaml"])
def test_a_name_that_leads_nowhere_is_told_at_its_line_of_the_manifest(named: str) -> None:
    with pytest.raises(Invalid) as refused:
        declare({"service.yaml": f"version: 1\ntests:\n  - {named}"})
    (problem,) = refused.value.problems
    assert (problem.code, problem.file, problem.line) == ("missing-file", "services/tasks/service.yaml", 3)


def test_cases_may_stand_in_the_manifest_itself() -> None:
    (found,) = declare(
        {"service.yaml": "version: 1\ntests:\n- name: a\n  GET: /x\n  expect:\n    status: 200\n"}
    ).suites
    assert found.name == "service.yaml"
    assert found.cases[0].place.line == 3
    assert found.cases[0].expectations[0].place.line == 6


def test_a_wrong_case_in_the_manifest_is_told_there() -> None:
    with pytest.raises(Invalid) as refused:
        declare({"service.yaml": "version: 1\ntests:\n- name: a\n  GET: /x\n  expct: {status: 200}\n"})
    assert [(problem.line, problem.code) for problem in refused.value.problems] == [(5, "unknown-field")]


def test_each_row_is_a_case_of_its_own() -> None:
    found = suite(
        """
        cases:
          - name: size
            POST: /x
            json: {size: "${size}", unit: "${unit}"}
            expect: {status: "${status}"}
            each:
              - {size: 1, unit: m, status: 201}
              - {size: 2, unit: m, status: 201}
          - name: refuses ${each}
            GET: /x
            query: {q: "${each}"}
            expect: {status: 4xx}
            each: [a, "", 3]
        """
    )
    assert [case.name for case in found.cases] == [
        "size [size=1, unit=m, status=201]",
        "size [size=2, unit=m, status=201]",
        "refuses a",
        "refuses ",
        "refuses 3",
    ]
    assert [case.place.line for case in found.cases] == [9, 10, 15, 15, 15]


def test_an_include_comes_before_what_includes_it() -> None:
    found = suite(
        """
        include: ../../shared/login.yaml
        cases: [{name: mine, GET: "/x?t=${token}", expect: {status: 200}}]
        teardown: [{name: bye, DELETE: /x, expect: {status: 204}}]
        """,
        **{
            "/shared/login.yaml": """
            version: 1
            vars: {user: ada}
            setup: [{name: login, POST: /login, json: {user: "${user}"}, expect: {status: 200}, capture: {token: $.t}}]
            teardown: [{name: logout, POST: /logout, expect: {status: 204}}]
            """
        },
    )
    assert [case.name for case in found.setup] == ["login"]
    assert [case.name for case in found.cases] == ["mine"]
    assert [case.name for case in found.teardown] == ["logout", "bye"]
    assert found.setup[0].place.file == "shared/login.yaml"
    assert found.setup[0].place.line == 4


def test_an_include_can_stand_among_the_cases_and_be_given_variables() -> None:
    found = suite(
        """
        cases:
          - {name: first, include: shared/crud.yaml, vars: {kind: apples}}
          - {name: second, include: shared/crud.yaml, vars: {kind: pears}}
        """,
        **{"/shared/crud.yaml": "version: 1\ncases: [{name: list, GET: '/${kind}', expect: {status: 200}}]"},
    )
    assert [case.name for case in found.cases] == ["first / list", "second / list"]


def test_a_file_that_includes_itself_is_refused() -> None:
    again = "version: 1\ncases: [{include: b.yaml}]"
    found = problems("cases: [{include: b.yaml}]", **{"b.yaml": again})
    assert [problem.code for problem in found] == ["include-cycle"]


def test_only_files_of_the_service_and_its_watched_paths_can_be_included() -> None:
    found = problems("include: ../other/secret.yaml\n" + ONE.partition("\n")[2])
    assert [problem.code for problem in found] == ["missing-file"]


def test_a_problem_in_an_included_file_is_told_in_that_file() -> None:
    (found,) = problems("include: b.yaml", **{"b.yaml": "version: 1\ncases:\n- {name: a, GET: /x}"})
    assert (found.file, found.line) == ("services/tasks/b.yaml", 3)


def test_a_secret_of_the_service_can_be_used() -> None:
    text = "version: 1\ncases: [{name: a, GET: /x, headers: {a: '${secrets.KEY}'}, expect: {status: 200}}]"
    assert len(declare({"tests.yaml": text}, secrets=["KEY"])) == 1
