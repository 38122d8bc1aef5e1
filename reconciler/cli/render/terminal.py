"""A report in a terminal: every problem at length, the warnings, then the verdict."""

from reconciler.cli.render.report import Report, Subject
from reconciler.model.problem_text import Paint, problem_text, wrapped


def text(report: Report, *, coloured: bool = False, width: int | None = None) -> str:
    """All findings and the verdict, ending in a line break."""
    paint = Paint(coloured)
    blocks = [block for subject in report.subjects for block in _problems(subject, paint, width)]
    blocks += [problem_text(warning, "warning", paint, width) for warning in report.warnings]
    return "\n".join([*blocks, *wrapped(report.verdict, "", width)]) + "\n"


def _problems(subject: Subject, paint: "Paint", width: int | None) -> list[str]:
    if subject.told:
        return [subject.told]
    return [problem_text(problem, "error", paint, width) for problem in subject.problems]
