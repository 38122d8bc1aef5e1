"""Patterns for paths in a repository: `services/*`, `apps/*/api`, `shared`, `lib/**`.

Pure. Each segment is a glob of its own; `**` stands for any number of folders, and at the end for all that
is below. As in a shell, a wildcard does not find names that start with a dot. Refuses `..`: such a pattern
finds nothing.
"""

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache

ANY_DEPTH = "**"
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Segment:
    text: str
    expression: re.Pattern[str] | None
    """None for a name that is meant literally, and for `**`."""

    @property
    def any_depth(self) -> bool:
        return self.text == ANY_DEPTH

    def fits(self, name: str) -> bool:
        if self.expression is None:
            return name == self.text
        if name.startswith(".") and not self.text.startswith("."):
            return False
        return self.expression.match(name) is not None


@lru_cache(maxsize=4096)
def segments(pattern: str) -> tuple[Segment, ...] | None:
    """The segments of a pattern; none at all for the root, None for a pattern that cannot find anything."""
    parts = split(pattern)
    if parts is None:
        return None
    return tuple(Segment(part, _expression(part)) for part in parts)


def split(path: str) -> tuple[str, ...] | None:
    """The names on a path; None when it climbs out."""
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    return None if ".." in parts else parts


def encoded(name: str) -> bytes:
    """A name as git has it."""
    return name.encode("utf-8", "surrogateescape")


def _expression(part: str) -> re.Pattern[str] | None:
    if part == ANY_DEPTH or not _WILD.search(part):
        return None
    return re.compile(fnmatch.translate(part))
