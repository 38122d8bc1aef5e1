"""A problem as a good compiler prints it: the sentence, the place, the line with a mark under it, what to do.

For terminals, near or far: whoever checks, and whoever pushed. Without a width nothing is wrapped, so that the text in
a log or in the docs is the same everywhere.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal

from reconciler.model.position import visible
from reconciler.model.problem import Problem

Severity = Literal["error", "warning"]

NARROWEST = 40
_COLOURS = {"error": "31;1", "warning": "33;1", "place": "34", "mark": "31;1", "faint": "2"}
_WORD = re.compile(r"[^\s:,\[\]{}#]+")


class Paint:
    """Wraps text in colours, or leaves it alone."""

    def __init__(self, coloured: bool = False) -> None:
        self._coloured = coloured

    def __call__(self, kind: str, text: str) -> str:
        return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m" if self._coloured and text else text


def problem_text(
    problem: Problem, severity: Severity = "error", paint: Paint | None = None, width: int | None = None
) -> str:
    """One problem, ending in a line break."""
    paint = paint or Paint()
    lines = [*_headline(problem, severity, paint, width), *_place(problem, paint), *_excerpt(problem, paint, width)]
    margin = " " * len(_gutter(problem))
    for line in advice(problem):
        lines += wrapped(line, f"{margin} = ", width)
    return "\n".join(lines) + "\n"


def _headline(problem: Problem, severity: Severity, paint: Paint, width: int | None) -> list[str]:
    label = f"{severity}[{problem.code}]"
    first, *rest = wrapped(f"{label}: {visible(problem.message)}", "", width)
    return [paint(severity, label) + first.removeprefix(label), *rest]


def _place(problem: Problem, paint: Paint) -> Iterator[str]:
    if problem.place:
        service = f" ({problem.service})" if problem.service and problem.file is None else ""
        yield f"{_gutter(problem)}{paint('faint', '-->')} {paint('place', visible(problem.place))}{service}"
    elif problem.service:
        yield f"{_gutter(problem)}{paint('faint', '-->')} {paint('place', visible(problem.service))}"


def _excerpt(problem: Problem, paint: Paint, width: int | None) -> Iterator[str]:
    if not problem.excerpt or problem.line is None:
        return
    margin = _gutter(problem)
    bar = paint("faint", "|")
    shown, column = _window(visible(problem.excerpt), problem.column, width and max(width, NARROWEST) - len(margin) - 4)
    yield f"{margin} {bar}"
    yield f"{paint('faint', str(problem.line).rjust(len(margin)))} {bar} {shown}".rstrip()
    if column is not None and column <= len(shown) + 1:
        yield f"{margin} {bar} {_blank(shown[: column - 1])}{paint('mark', _mark(shown, column))}"


def _window(line: str, column: int | None, room: int | None) -> tuple[str, int | None]:
    """As much of the line as there is room for, with the column in it."""
    if room is None or _width(line) <= room:
        return line, column
    start = max(0, (column or 1) - 1 - room // 2)
    head, tail = ("…" if start else ""), "…"
    cut = head + line[start + len(head) : start + room - 1] + tail
    return cut, column and column - start


def _mark(line: str, column: int) -> str:
    word = _WORD.match(line, column - 1)
    return "^" * max(1, _width(word.group()) if word else 1)


def _blank(text: str) -> str:
    return " " * _width(text)


def _width(text: str) -> int:
    """Columns on a terminal; wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def wrapped(text: str, margin: str, width: int | None) -> list[str]:
    if width is None:
        return [margin + text]
    return textwrap.wrap(
        text,
        max(width, NARROWEST),
        initial_indent=margin,
        subsequent_indent=" " * len(margin) + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _gutter(problem: Problem) -> str:
    return " " * max(2, len(str(problem.line or "")))


def advice(problem: Problem) -> Iterable[str]:
    """The lines that follow the sentence."""
    if problem.expected:
        yield f"expected: {visible(problem.expected)}"
    if problem.remedy:
        yield f"help: {visible(problem.remedy)}"
