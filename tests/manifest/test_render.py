"""One report in four forms; none of them lets a stranger's bytes act."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from reconciler.cli.render.github import annotations, append_summary, summary
from reconciler.cli.render.junit import junit
from reconciler.cli.render.machine import json_text
from reconciler.cli.render.report import Report, Subject
from reconciler.cli.render.terminal import text
from reconciler.model.problem import Problem
from reconciler.model.problem_text import Paint, problem_text
from tests.manifest.checking import check_folder

ROOT = Path(__file__).parents[2]
TEN = Path(__file__).parent / "ten_mistakes"

PROBLEM = Problem(
    "there is no field `replcas`",
    "unknown-field",
    "tasks",
    "services/tasks/service.yaml",
    7,
    3,
    "  replcas: 2",
    remedy="did you mean `replicas`?",
)
HOSTILE = Problem(
    "a \x1b[31mred\u202e message\r\n::error::x | <script> & `code` 100%",
    "some-code",
    "tasks",
    "services/a,b:c\n/service.yaml",
    1,
    2,
    "a: \x1b]0;title\x07",
    remedy="do\nthis",
)


def report(*problems: Problem, warnings: tuple[Problem, ...] = ()) -> Report:
    return Report((Subject("good"), Subject("tasks", PROBLEM.file, problems, warnings, 0.25)), 0.5)


def test_a_problem_reads_as_a_compiler_tells_it() -> None:
    assert problem_text(PROBLEM) == (
        "error[unknown-field]: there is no field `replcas`\n"
        "  --> services/tasks/service.yaml:7:3\n"
        "   |\n"
        " 7 |   replcas: 2\n"
        "   |   ^^^^^^^\n"
        "   = help: did you mean `replicas`?\n"
    )


def test_the_mark_stands_below_wide_characters() -> None:
    lines = problem_text(replace(PROBLEM, excerpt="名前: 値", column=5)).splitlines()
    assert lines[4] == "   | " + " " * 6 + "^^"


def test_a_long_line_is_shown_around_its_column() -> None:
    told = problem_text(replace(PROBLEM, excerpt="a" * 70 + " here " + "b" * 80, column=72), width=60)
    line, mark = told.splitlines()[3:5]
    assert len(line) <= 60
    assert line[mark.index("^") :].startswith("here")


@pytest.mark.parametrize("width", [1, 40, 60, 80])
def test_a_narrow_terminal_is_not_overrun(width: int) -> None:
    told = text(check_folder(TEN), width=width)
    assert max(map(len, told.splitlines())) <= max(width, 40) + 6


def test_colours_only_where_they_are_asked_for() -> None:
    assert "\x1b" not in text(report(PROBLEM))
    assert "\x1b[31;1merror[unknown-field]\x1b[0m" in text(report(PROBLEM), coloured=True)


def test_nothing_of_a_stranger_reaches_a_terminal_raw() -> None:
    for told in (text(report(HOSTILE)), problem_text(HOSTILE, paint=Paint(), width=50), summary(report(HOSTILE))):
        assert not set(told) & set("\x1b\x07\r\u202e\x00")
    assert json_text(report(HOSTILE)).isascii()


def test_what_a_program_reads() -> None:
    told = json.loads(json_text(report(PROBLEM, warnings=(HOSTILE,))))
    assert told["version"] == 1
    assert told["good"] is False
    assert told["subjects"][1] == {
        "name": "tasks",
        "file": PROBLEM.file,
        "good": False,
        "problems": 1,
        "warnings": 1,
        "seconds": 0.25,
        "cases": 0,
        "told": None,
    }
    assert told["problems"][0] == {
        "severity": "error",
        "code": "unknown-field",
        "message": PROBLEM.message,
        "service": "tasks",
        "file": PROBLEM.file,
        "line": 7,
        "column": 3,
        "excerpt": PROBLEM.excerpt,
        "expected": None,
        "remedy": PROBLEM.remedy,
    }
    assert told["problems"][1]["severity"] == "warning"


def test_an_annotation_escapes_what_github_would_obey() -> None:
    (line,) = annotations(report(HOSTILE)).splitlines()
    head, _, message = line.removeprefix("::error ").partition("::")
    assert head == "file=services/a%2Cb%3Ac /service.yaml,line=1,col=2,title=tasks%3A some-code"
    assert message.startswith("a ␛[31mred� message␍%0A::error::x")
    assert message.endswith("100%25%0Ahelp: do this")


def test_github_is_told_no_more_than_it_shows() -> None:
    many = tuple(replace(PROBLEM, line=line) for line in range(1, 31))
    lines = annotations(report(*many, warnings=many[:12])).splitlines()
    assert [line.split()[0] for line in lines] == ["::error"] * 10 + ["::warning"] * 10
    assert "title=tasks%3A 21 more errors::" in lines[9]
    assert "services/tasks/service.yaml:30:3: there is no field" in lines[9]
    assert "title=tasks%3A 3 more warnings::" in lines[19]


def test_the_summary_is_a_table_without_markup_of_strangers(tmp_path: Path) -> None:
    told = summary(report(PROBLEM, HOSTILE))
    assert "| ❌ | services/tasks/service.yaml:7:3 | there is no field <code>replcas</code> |" in told
    assert "<script>" not in told
    assert told.count("\n") == 8
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    append_summary(report(PROBLEM), file)
    assert file.read_text().startswith("before\n### ❌ reconciler check\n")


def test_a_huge_summary_stays_below_what_the_runner_takes() -> None:
    many = tuple(replace(PROBLEM, line=line, message="<" * 5_000) for line in range(1_000))
    assert len(summary(report(*many)).encode()) < 1 << 20


def test_junit_has_a_case_for_each_subject() -> None:
    root = Xml.fromstring(junit(report(PROBLEM, HOSTILE)))
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    good, bad = root.iter("testcase")
    assert good.find("failure") is None
    failure = bad.find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("unknown-field", f"{PROBLEM.message} (and 1 more)")
    assert "services/tasks/service.yaml:7:3" in (failure.text or "")
    assert (bad.get("name"), bad.get("file"), bad.get("time")) == ("tasks", PROBLEM.file, "0.250")


def test_a_good_report_says_so_in_one_line() -> None:
    good = Report((Subject("a"), Subject("b")))
    assert text(good) == "2 checked: all good\n"
    assert annotations(good) == ""


def test_the_ten_mistakes_are_told_as_the_docs_show_them() -> None:
    """Renew the block in docs/errors.md with what this test prints."""
    found = check_folder(TEN)
    assert len(found.problems) == 10
    assert len({problem.message for problem in found.problems}) == 10
    assert f"```text\n{text(found)}```\n" in (ROOT / "docs" / "errors.md").read_text()
