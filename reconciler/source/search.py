"""What a pattern finds in a tree.

Looks only into the folders the pattern leads through, and only into so many of them: a pattern comes from a
repository like everything else. A thousand services are one listing, so this is written for long listings.
"""

import re
from collections.abc import Iterator
from typing import Protocol, TypeAlias

from reconciler.model.failure import Reason, Stalled
from reconciler.model.problem import Problem
from reconciler.source.entry_name import shown
from reconciler.source.listing import Entry
from reconciler.source.objects import FOLDER, kind_of
from reconciler.source.pattern import Segment, encoded, segments
from reconciler.source.places import Place

MOST_FOLDERS = 20_000
DEEPEST = 64

Found: TypeAlias = tuple[str, Entry]
"""A path from the root, and what is there."""


_ANY = Segment("*", re.compile(".*", re.DOTALL))


class Ground(Protocol):
    """Where to look."""

    @property
    def root(self) -> Place: ...

    def children(self, tree: bytes, path: str) -> dict[bytes, Entry]: ...


class Search:
    def __init__(self, ground: Ground, pattern: str) -> None:
        self._ground = ground
        self._pattern = pattern
        self.looked_into = 0

    def found(self) -> Iterator[Found]:
        wanted = segments(self._pattern)
        return iter(()) if wanted is None else self._below(("", self._ground.root.entry), wanted)

    def _below(self, folder: Found, wanted: tuple[Segment, ...]) -> Iterator[Found]:
        if not wanted:
            yield folder
            return
        first, rest = wanted[0], wanted[1:]
        if first.any_depth:
            yield from self._at_any_depth(folder, rest)
        elif not rest:
            yield from self._fitting(folder, first)
        else:
            for found in self._fitting(folder, first):
                if kind_of(found[1]) == FOLDER:
                    yield from self._below(found, rest)

    def _at_any_depth(self, folder: Found, rest: tuple[Segment, ...]) -> Iterator[Found]:
        yield from self._below(folder, rest)
        if not rest:
            return
        for found in self._fitting(folder, _ANY):
            if kind_of(found[1]) == FOLDER:
                yield from self._at_any_depth(found, rest)

    def _fitting(self, folder: Found, segment: Segment) -> list[Found]:
        children = self._children(folder)
        prefix = f"{folder[0]}/" if folder[0] else ""
        if segment.expression is None:
            entry = children.get(encoded(segment.text))
            return [] if entry is None else [(prefix + segment.text, entry)]
        named = zip(_shown(children), children.values(), strict=True)
        if segment.text == _ANY.text:
            return [(prefix + name, entry) for name, entry in named if name[0] != "."]
        return [(prefix + name, entry) for name, entry in named if segment.fits(name)]

    def _children(self, folder: Found) -> dict[bytes, Entry]:
        path, entry = folder
        self.looked_into += 1
        check_effort(self.looked_into, self._pattern, depth=path.count("/"))
        return self._ground.children(entry[2], path)


def check_effort(looked_into: int, pattern: str, *, depth: int = 0) -> None:
    if looked_into > MOST_FOLDERS or depth >= DEEPEST:
        message = f"The pattern {pattern[:80]!r} leads through more folders than are looked into."
        problem = Problem(message, "too-many-files", remedy="Name the folders more closely.")
        raise Stalled(Reason.MANIFEST_INVALID, message, problems=(problem,))


def _shown(names: dict[bytes, Entry]) -> list[str]:
    """All names at once where they are plain, which they nearly always are."""
    try:
        text = b"/".join(names).decode()
    except UnicodeDecodeError:
        return [shown(name) for name in names]
    return text.split("/") if text.isprintable() and names else [shown(name) for name in names]
