"""`reconciler rollback|suspend|resume|restart|test NAME`: act on one service of a running server."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli.server import DATA, DataOption, find, segment
from reconciler.cli.terminal import paint, safe, say

if TYPE_CHECKING:
    from reconciler.model.verdict import Report

PATIENCE = 600.0
"""Seconds; a suite, or workers that start slowly, may take a while."""

NameArgument = Annotated[str, typer.Argument(help="The service.")]


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    TAP = "tap"
    GITHUB = "github"


class Export(StrEnum):
    CURL = "curl"
    HURL = "hurl"


def add_to(app: typer.Typer) -> None:
    for command in (rollback, suspend, resume, restart, test):
        app.command()(command)


def rollback(
    name: NameArgument,
    to: Annotated[str | None, typer.Option("--to", help="A release.", show_default="the one before")] = None,
    data: DataOption = DATA,
) -> None:
    """Give the traffic to an earlier release, and hold it there until there is a new digest, or `resume`."""
    _act(data, name, "rollback", {"to": to} if to else None)


def suspend(name: NameArgument, data: DataOption = DATA) -> None:
    """Let syncs pass a service by, whatever git says, until `resume`. What serves goes on."""
    _act(data, name, "suspend")


def resume(name: NameArgument, data: DataOption = DATA) -> None:
    """End a suspension and a rollback's hold: the service follows git again."""
    _act(data, name, "resume")


def restart(name: NameArgument, data: DataOption = DATA) -> None:
    """Give a service new workers of the same release, without losing a request."""
    _act(data, name, "restart")


def test(
    name: NameArgument,
    export: Annotated[Export | None, typer.Option("--export", help="Print the failing cases to take along.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TEXT,
    data: DataOption = DATA,
) -> None:
    """Play a service's suite against what serves. It changes nothing for anyone; exit code 1 when it does not pass."""
    from reconciler.model.verdict import Report, Verdict

    told = find(data).post(f"/v1/services/{segment(name)}/test", within=PATIENCE)
    report = Report.from_json(told)
    if export is not None:
        _export(report, export)
    else:
        _print(report, form)
    raise typer.Exit(0 if report.verdict is Verdict.PASSED else 1)


def _act(data: Path, name: str, action: str, wish: dict[str, Any] | None = None) -> None:
    taken = find(data).post(f"/v1/services/{segment(name)}/{action}", body=wish, within=PATIENCE)
    mark = paint("✓", "green") if taken["changed"] else paint("-", "dim")
    say(f"{mark} {safe(taken['message'])}")


def _export(report: "Report", export: Export) -> None:
    found = [case.curl if export is Export.CURL else case.hurl for case in report.failing]
    sys.stdout.write("\n".join(each.rstrip("\n") + "\n" for each in found if each))


def _print(report: "Report", form: Format) -> None:
    from reconciler.suite.report.junit import junit
    from reconciler.suite.report.tap import tap
    from reconciler.suite.report.text import text

    if form is Format.JSON:
        import json

        sys.stdout.write(json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n")
    elif form is Format.GITHUB:
        _annotate(report)
    else:
        sys.stdout.write({Format.TEXT: text, Format.JUNIT: junit, Format.TAP: tap}[form](report))


def _annotate(report: "Report") -> None:
    from reconciler.cli.render import github
    from reconciler.cli.render.report import Report as Rendered
    from reconciler.cli.render.report import Subject
    from reconciler.model.verdict import problems

    shown = Rendered((Subject(report.service, None, problems(report), (), report.seconds),), report.seconds)
    sys.stdout.write(github.annotations(shown) + f"{shown.verdict}\n")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        github.append_summary(shown, Path(summary))
