"""Lines that stand in columns, on screens of any width.

A pipe gets every column whole. A screen that is too narrow loses the columns that can be spared, and what does not
fit at the end of a line goes on below it: a message is worth more than a column.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reconciler.cli.terminal import Screen, say

GAP = "  "
SHADE = re.compile(r"(\x1b\[[0-9;]*m)")
PLAIN = "\x1b[0m"
BELOW = "   "
LONG_ENOUGH, NARROWEST_COLUMN = 32, 6
MOST_BELOW = 3
"""Lines."""
MOST_FLOWED = 5
"""Lines of one part: a remedy that stands at its end is there also where the screen is narrow."""


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    colour: str = ""

    @property
    def width(self) -> int:
        return width(self.text)


Row = Sequence[Cell]


def say_table(rows: Sequence[Row], indent: str = "", spare: Sequence[int] = ()) -> None:
    for line in table(rows, Screen.of(sys.stdout), indent, spare):
        say(line)


def table(rows: Sequence[Row], screen: Screen, indent: str = "", spare: Sequence[int] = ()) -> list[str]:
    """`spare` are the columns that a narrow screen can do without, the first of them first."""
    return [line for lines in blocks(rows, screen, indent, spare) for line in lines]


def blocks(rows: Sequence[Row], screen: Screen, indent: str = "", spare: Sequence[int] = ()) -> list[list[str]]:
    """The lines of each row."""
    if not rows:
        return []
    last = len(rows[0]) - 1
    widths = {column: max(row[column].width for row in rows) for column in range(last)}
    widths = {column: wide for column, wide in widths.items() if wide}
    room = None if screen.columns is None else screen.columns - len(indent)
    if room is not None:
        _fit(widths, room, spare)
    return [[indent + line for line in _lines(row, widths, screen, room)] for row in rows]


def flowed(parts: Iterable[Cell], screen: Screen) -> Iterator[str]:
    """One after the other, on as many lines as that takes."""
    line, used = "", 0
    for part in parts:
        texts = [part.text] if screen.columns is None else wrapped(part.text, screen.columns, MOST_FLOWED)
        for text in texts:
            if line and screen.columns is not None and used + len(GAP) + width(text) > screen.columns:
                yield line
                line, used = "", 0
            line += (GAP if line else "") + screen.paint(text, part.colour)
            used += (len(GAP) if used else 0) + width(text)
    if line:
        yield line


def wrapped(text: str, room: int, most: int) -> Iterator[str]:
    """At most so many lines, broken between words where there are any."""
    for _ in range(most - 1):
        if width(text) <= room:
            break
        end = _fitting(text, room)
        space = text.rfind(" ", end // 2, end + 1)
        end = space if space > 0 else end
        yield text[:end].rstrip()
        text = text[end:].lstrip()
    yield cut(text, room)


def folded(lines: Iterable[str], screen: Screen) -> Iterator[str]:
    """Painted lines of another's making, broken where the screen ends."""
    for line in lines:
        yield from [line] if screen.columns is None else _folded(line, screen.columns)


def _folded(line: str, columns: int) -> Iterator[str]:
    piece, used, shade = "", 0, ""
    for part in SHADE.split(line):
        if SHADE.fullmatch(part):
            piece, shade = piece + part, "" if part == PLAIN else part
            continue
        while used + width(part) > columns:
            end = _fitting(part, columns - used)
            yield piece + part[:end] + (PLAIN if shade else "")
            part, piece, used = part[end:], shade, 0
        piece, used = piece + part, used + width(part)
    yield piece


def cut(text: str, room: int) -> str:
    return text if width(text) <= room else text[: _fitting(text, room - 1)] + "…"


def width(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _fitting(text: str, room: int) -> int:
    """How many letters of it."""
    used = 0
    for number, char in enumerate(text):
        used += _width(char)
        if used > room:
            return number
    return len(text)


def _fit(widths: dict[int, int], room: int, spare: Sequence[int]) -> None:
    """One long name must not cost all others their columns: it is cut first, then what can be spared goes."""
    _squeeze(widths, room, LONG_ENOUGH)
    for column in spare:
        if _total(widths.values()) > room:
            widths.pop(column, None)
    _squeeze(widths, room, NARROWEST_COLUMN)
    while widths and _total(widths.values()) > room:
        widths.popitem()


def _squeeze(widths: dict[int, int], room: int, least: int) -> None:
    """Take from the widest."""
    while _total(widths.values()) > room and max(widths.values()) > least:
        widths[max(widths, key=lambda column: widths[column])] -= 1


def _lines(row: Row, widths: dict[int, int], screen: Screen, room: int | None) -> Iterator[str]:
    line, used = "", 0
    for column, wide in widths.items():
        text = cut(row[column].text, wide)
        line += screen.paint(text, row[column].colour) + " " * (wide - width(text)) + GAP
        used += wide + len(GAP)
    tail = row[-1]
    if room is None or not tail.text or used + tail.width <= room:
        yield (line + screen.paint(tail.text, tail.colour)).rstrip()
        return
    below = BELOW if widths else ""
    if widths:
        yield line.rstrip()
    for text in wrapped(tail.text, room - len(below), MOST_BELOW):
        yield below + screen.paint(text, tail.colour)


def _total(widths: Iterable[int]) -> int:
    return sum(wide + len(GAP) for wide in widths) - len(GAP)
