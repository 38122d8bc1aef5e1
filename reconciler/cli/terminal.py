"""What a terminal gets to see: coloured only where somebody looks, and never a raw control character.

Names, messages and log lines come from repositories and services; whatever in them could move a cursor,
change a title or turn text around is shown as an escape instead.
"""

import os
import shutil
import sys
import unicodedata
from dataclasses import dataclass
from typing import TextIO

from reconciler.model.names import shortened

COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "dim": "2", "bold": "1"}
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
NARROWEST = 20


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

    @property
    def rows(self) -> int:
        return shutil.get_terminal_size().lines

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colour and text and self.coloured else text


def safe(text: str) -> str:
    """Text from elsewhere, on one line, without anything a terminal would obey."""
    return "".join(char if unicodedata.category(char) not in UNSEEN else _escape(char) for char in text)


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    return Screen(coloured=is_coloured(stream or sys.stdout)).paint(text, colour)


def is_coloured(stream: TextIO) -> bool:
    """https://no-color.org, and a dumb terminal stays plain."""
    return is_smart(stream) and not os.environ.get("NO_COLOR")


def is_smart(stream: TextIO) -> bool:
    """It is a terminal, and can be drawn on."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")


def complain(line: str) -> None:
    sys.stderr.write(f"{paint('reconciler:', 'red', sys.stderr)} {safe(line)}\n")


def short(revision: str | None) -> str:
    return safe(shortened(revision)) if revision else "-"


def _escape(char: str) -> str:
    if char in "\t\n":
        return " "
    return f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}"
