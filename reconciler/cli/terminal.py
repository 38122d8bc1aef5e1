"""What a terminal gets to see: aligned, coloured only where somebody looks, and never a raw control character.

Names, messages and log lines come from repositories and services; whatever in them could move a cursor,
change a title or turn text around is shown as an escape instead.
"""

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from reconciler.model.names import shortened

COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "dim": "2", "bold": "1"}
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
GAP = "  "
NARROWEST = 20


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    colour: str = ""

    @property
    def width(self) -> int:
        return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in self.text)


@dataclass(frozen=True, slots=True)
class Screen:
    """Where lines are shown: how wide it is, if it has an end, and whether somebody looks."""

    columns: int | None = None
    coloured: bool = False

    @classmethod
    def of(cls, stream: TextIO) -> "Screen":
        if not stream.isatty():
            return cls()
        return cls(max(NARROWEST, shutil.get_terminal_size().columns), is_coloured(stream))

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colour and text and self.coloured else text


def safe(text: str) -> str:
    """Text from elsewhere, on one line, without anything a terminal would obey."""
    return "".join(char if unicodedata.category(char) not in UNSEEN else _escape(char) for char in text)


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colour and is_coloured(stream or sys.stdout) else text


def is_coloured(stream: TextIO) -> bool:
    """https://no-color.org, and a dumb terminal stays plain."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")


def complain(line: str) -> None:
    sys.stderr.write(f"{paint('reconciler:', 'red', sys.stderr)} {safe(line)}\n")


def say_table(rows: Sequence[Sequence[Cell]], indent: str = "") -> None:
    """Columns as wide as their content; the last one takes what is left and is cut there on a terminal."""
    if not rows:
        return
    widths = [max(row[column].width for row in rows) for column in range(len(rows[0]) - 1)]
    room = _columns() - len(indent) - sum(widths) - len(GAP) * len(widths)
    for row in rows:
        cells = [
            paint(cell.text, cell.colour) + " " * (width - cell.width) for cell, width in zip(row, widths, strict=False)
        ]
        last = paint(_cut(row[-1].text, room), row[-1].colour)
        say((indent + GAP.join([*cells, last])).rstrip())


def ago(moment: str, now: datetime | None = None) -> str:
    """`3 min ago`, for a moment in ISO 8601."""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return f"{max(0, int(seconds))} s ago"


def short(revision: str | None) -> str:
    return safe(shortened(revision)) if revision else "-"


def _columns() -> int:
    if not sys.stdout.isatty():
        return 1 << 30
    return max(NARROWEST, shutil.get_terminal_size().columns)


def _cut(text: str, room: int) -> str:
    room = max(room, NARROWEST // 2)
    return text if len(text) <= room else text[: room - 1] + "…"


def _escape(char: str) -> str:
    if char in "\t\n":
        return " "
    return f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}"
