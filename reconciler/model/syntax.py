"""What is wrong with the YAML itself, in the words of somebody who does not know how a scanner works."""

import re
from dataclasses import dataclass
from typing import Final

from yaml.error import MarkedYAMLError


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with the YAML itself, at a line and column counted from 0."""

    line: int
    column: int
    code: str
    message: str
    expected: str | None = None
    remedy: str | None = None
    confidential: bool = False
    """It stands among settings whose values nobody else should read."""


def syntax_fault(error: MarkedYAMLError) -> Fault:
    """PyYAML's complaint in the words of somebody who does not know how a scanner works."""
    mark = error.problem_mark or error.context_mark
    opened = error.context_mark or mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    raw = error.problem or ""
    for pattern, message, remedy in _SYNTAX:
        if match := re.search(pattern, raw):
            found = match.groups()
            told = message.format(*found, opened=opened.line + 1 if opened else 1)
            return Fault(line, column, "syntax", told, remedy=remedy and remedy.format(*found))
    return Fault(line, column, "syntax", f"this is not valid YAML: {raw}")


_SYNTAX: Final[tuple[tuple[str, str, str | None], ...]] = (
    (r"character '\\t' that cannot start", "a tab cannot indent or separate values in YAML", "use spaces"),
    (
        r"character ['\"](.+)['\"] that cannot start",
        "a value cannot begin with `{0}`",
        "put the value in quotes",
    ),
    (
        "expected alphabetic or numeric character",
        "a value cannot begin with `*` or `&` unless it is quoted",
        "quote it: `'*'`",
    ),
    (
        "mapping values are not allowed",
        "a `:` stands where no `name: value` can begin",
        "quote the value if the `:` belongs to it, or mend the indentation",
    ),
    ("could not find expected ':'", "this needs a `:` after the name", "write `name: value`"),
    (r"expected ',' or '([\]}])'", "what opened on line {opened} is not closed with `{0}`", "add a `,` or the `{0}`"),
    (
        "expected <block end>",
        "the indentation does not fit the lines above, from line {opened}",
        "line it up with its neighbours",
    ),
    ("unexpected end of stream", "the quote that opened on line {opened} is never closed", "close the quote"),
    ("unexpected document separator", "the quote that opened on line {opened} is never closed", "close the quote"),
    ("sequence entries are not allowed", "a list item (`-`) cannot stand here", "begin the list on a line of its own"),
    ("mapping keys are not allowed", "a key cannot stand here", "begin it on a line of its own"),
    (
        "unknown escape character",
        "an unknown escape in a double-quoted text",
        "double the backslash, or use single quotes",
    ),
    ("hexadecimal numbers", "an escape in a double-quoted text is not complete", "write all its hexadecimal digits"),
    ("expected the node content", "a value is missing here", "write the value, or quote it"),
    ("chomping or indentation", "nothing may follow `|` or `>` on its line", "begin the text on the next line"),
)
