"""Where in a file a value stands, and the line it stands on, safe to show to anybody.

A line of a stranger's file ends up in terminals, dashboards and commit statuses, so nothing in an excerpt
can move a cursor or reorder text. Refuses to know YAML: it sees lines and columns only.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value in a document: keys of mappings and indexes of lists."""

EXCERPT_WIDTH = 160

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufe00\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
"""Characters that a reader cannot see, or that change what a reader sees: control, bidi, surrogates, fillers.

Joiners (U+200C, U+200D) and the emoji selector (U+FE0F) are left out: ordinary text in many languages needs them.
"""


CONFIDENTIAL = frozenset({"env", "secrets"})
"""Keys below which people write, or paste by mistake, what others must not read."""


@dataclass(frozen=True, slots=True)
class Position:
    line: int
    """Counted from 1, like `column`."""
    column: int
    excerpt: str
    file: str = ""


class Origin(Protocol):
    """Whoever can say where a value came from: one document, or several merged."""

    def position(self, path: Path) -> Position:
        """Where the value stands, or, where there is none, the nearest thing around it."""

    def key(self, path: Path) -> Position:
        """Where the key of that value stands."""

    def written(self, path: Path) -> str | None:
        """A plain scalar's own text, `3.10` where the value is 3.1; None for everything else."""


def steps(value: Any) -> Container[Any]:
    """The keys or indexes that lead further into a value."""
    if isinstance(value, Mapping):
        return value
    return range(len(value)) if isinstance(value, (list, tuple)) else ()


def visible(text: str) -> str:
    """The text with every hidden character made visible, each as one character so that columns stay true."""
    return HIDDEN.sub(_stand_in, text.replace("\t", " ").replace("\n", " "))


def is_confidential(path: Path) -> bool:
    return not CONFIDENTIAL.isdisjoint(path)


def excerpt(line: str, *, confidential: bool = False) -> str:
    """The line as a problem shows it; of a confidential one only the name, with the columns kept."""
    if confidential:
        named, colon, rest = line.partition(":")
        line = f"{named}:{_masked(rest)}" if colon else _masked(line)
    return visible(line[:EXCERPT_WIDTH]).rstrip() + ("…" if len(line) > EXCERPT_WIDTH else "")


def shown(value: object, limit: int = 40) -> str:
    """A value as a message quotes it: on one line, visible, cut."""
    text = visible(value if isinstance(value, str) else str(value))
    return f"`{text[:limit]}…`" if len(text) > limit else f"`{text}`"


def _masked(text: str) -> str:
    return re.sub(r"[^\s]", "*", text)


def _stand_in(match: re.Match[str]) -> str:
    character = match.group()
    return chr(0x2400 + ord(character)) if character < " " else "\ufffd"
