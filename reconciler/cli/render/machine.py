"""A report for programs, as one JSON object.

    {"version": 1, "good": false, "seconds": 0.4,
     "subjects": [{"name", "file", "good", "problems": n, "warnings": n, "seconds",
                   "cases": n, "told"}],
     "problems": [{"severity", "code", "message", "service",
                   "file", "line", "column", "excerpt", "expected", "remedy"}]}

Fields are added, never renamed; one that does not apply is null.
"""

import json
from dataclasses import asdict
from typing import Any, Final

from reconciler.cli.render.report import Report, Subject
from reconciler.model.problem import Problem
from reconciler.model.problem_text import Severity

VERSION: Final = 1


def plain(report: Report) -> dict[str, Any]:
    return {
        "version": VERSION,
        "good": report.is_good,
        "seconds": round(report.seconds, 3),
        "subjects": [_subject(subject) for subject in report.subjects],
        "problems": [_problem(severity, problem) for severity, problem in report.findings],
    }


def json_text(report: Report) -> str:
    """ASCII only: nothing in it can act on a terminal."""
    return json.dumps(plain(report), indent=2) + "\n"


def _subject(subject: Subject) -> dict[str, Any]:
    return {
        "name": subject.name,
        "file": subject.file,
        "good": subject.is_good,
        "problems": len(subject.problems),
        "warnings": len(subject.warnings),
        "seconds": round(subject.seconds, 3),
        "cases": subject.cases,
        "told": subject.told or None,
    }


def _problem(severity: Severity, problem: Problem) -> dict[str, Any]:
    return {"severity": severity, **asdict(problem)}
