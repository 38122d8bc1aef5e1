"""A report for GitHub: workflow commands that become annotations, and a job summary.

GitHub shows ten errors and ten warnings of a step and drops the rest without a word, so the tenth tells what is
missing; the summary has room for all.
https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from reconciler.cli.render.report import Report, counted
from reconciler.model.position import visible
from reconciler.model.problem import Problem
from reconciler.model.problem_text import Severity, advice

SHOWN: Final = 10
LONGEST_MESSAGE: Final = 8_000
LONGEST_TITLE: Final = 200
ROWS: Final = 500
LONGEST_SUMMARY: Final = 1_000_000
"""The runner refuses a summary above 1 MiB whole."""

_ENTITIES: Final = {ord(mark): f"&#{ord(mark)};" for mark in "&<>\\|[]*_~@!"}


def annotations(report: Report) -> str:
    """One workflow command per line."""
    lines = [*_commands("error", report.problems), *_commands("warning", report.warnings)]
    return "".join(f"{line}\n" for line in lines)


def summary(report: Report) -> str:
    """Markdown with every finding in a table."""
    verdict = "✅" if report.is_good else "❌"
    lines = [f"### {verdict} reconciler check", "", report.verdict, ""]
    findings = report.findings
    if findings:
        lines += ["| | Where | What | What to do |", "|---|---|---|---|"]
        lines += [_row(severity, problem) for severity, problem in findings[:ROWS]]
    if len(findings) > ROWS:
        lines += ["", f"… and {counted(len(findings) - ROWS, 'more finding')}."]
    text = "\n".join(lines) + "\n"
    return text if len(text.encode()) <= LONGEST_SUMMARY else "\n".join(lines[:4]) + "\n"


def append_summary(report: Report, file: Path) -> None:
    """Add to the file that `GITHUB_STEP_SUMMARY` names; other steps may have written before."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write(summary(report))


def _commands(severity: Severity, problems: Sequence[Problem]) -> Iterator[str]:
    single = problems if len(problems) <= SHOWN else problems[: SHOWN - 1]
    for problem in single:
        yield _command(severity, problem, _message(problem), problem.code)
    rest = problems[len(single) :]
    if rest:
        places = "\n".join(f"{problem.place}: {problem.message}" for problem in rest)
        yield _command(severity, rest[0], places, f"{counted(len(rest), 'more ' + severity)}")


def _command(severity: Severity, problem: Problem, message: str, title: str) -> str:
    properties = {
        "file": problem.file,
        "line": problem.line,
        "col": problem.column,
        "title": f"{problem.service}: {title}" if problem.service else title,
    }
    told = ",".join(
        f"{name}={_property(str(value)[:LONGEST_TITLE])}" for name, value in properties.items() if value is not None
    )
    return f"::{severity} {told}::{_data(message[:LONGEST_MESSAGE])}"


def _message(problem: Problem) -> str:
    return "\n".join([problem.message, *advice(problem)])


def _data(text: str) -> str:
    visible_lines = "\n".join(visible(line) for line in text.split("\n"))
    return visible_lines.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(visible(text)).replace(":", "%3A").replace(",", "%2C")


def _row(severity: Severity, problem: Problem) -> str:
    mark = "❌" if severity == "error" else "⚠️"
    todo = "<br>".join(_cell(line) for line in advice(problem))
    return f"| {mark} | {_cell(problem.place or problem.service or '')} | {_cell(problem.message)} | {todo} |"


def _cell(text: str) -> str:
    """Text only, no markup of a stranger's; what our sentences put in backticks becomes code."""
    parts = visible(text)[:1_000].split("`")
    escaped = [part.translate(_ENTITIES) for part in parts]
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(escaped))
