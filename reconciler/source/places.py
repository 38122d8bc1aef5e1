"""Places in a revision's tree, and where a link leads from there.

Finds entries by path and follows links the way a file system would, but only from object to object: what a
link names on a disk is never looked at. Refuses links that leave what belongs to the service.
"""

from collections import deque
from dataclasses import dataclass

from reconciler.model.failure import Reason, Stalled
from reconciler.model.problem import Problem
from reconciler.source.entry_name import objection, shown
from reconciler.source.listing import Entry
from reconciler.source.objects import FOLDER, LINK, SUBMODULE, Objects, TooLarge, kind_of

LONGEST_TARGET = 1024
MOST_HOPS = 16

Names = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Place:
    names: Names
    entry: Entry

    @property
    def path(self) -> str:
        return "/".join(map(shown, self.names))

    @property
    def kind(self) -> int:
        return kind_of(self.entry)


class LinkRefused(Exception):
    """`code` is a problem's code; the message ends the sentence `the link …`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Places:
    def __init__(self, objects: Objects, root: bytes) -> None:
        self._objects = objects
        self._listings: dict[bytes, dict[bytes, Entry]] = {}
        self.root = Place((), (b"40000", b"", root))

    def children(self, tree: bytes, path: str) -> dict[bytes, Entry]:
        """The entries of a folder by name; the path is for people."""
        if tree not in self._listings:
            try:
                self._listings[tree] = self._objects.entries(tree)
            except TooLarge as large:
                raise _too_many(path) from large
        return self._listings[tree]

    def child(self, folder: Place, name: bytes) -> Place | None:
        if folder.kind != FOLDER:
            return None
        entry = self.children(folder.entry[2], folder.path).get(name)
        return None if entry is None else Place((*folder.names, name), entry)

    def at(self, names: Names) -> Place | None:
        place: Place | None = self.root
        for name in names:
            if place is None:
                return None
            place = self.child(place, name)
        return place

    def follow(self, link: Place, roots: tuple[Names, ...]) -> Place:
        """Where a link leads in the end, without ever leaving the roots or the folders above them."""
        here = link.names[:-1]
        ahead = deque(self._target(link))
        hops = 1
        while ahead:
            name = ahead.popleft()
            if name == b"..":
                if not here:
                    raise LinkRefused("symlink-outside", "leads out of the repository")
                here = here[:-1]
                continue
            place = self.at((*here, name))
            if place is None:
                raise LinkRefused("symlink-broken", "leads to nothing in the repository")
            if not _near(place.names, roots):
                raise LinkRefused("symlink-outside", "leads out of the service's folder and its watched paths")
            if place.kind == SUBMODULE:
                raise LinkRefused("submodule", "leads into a submodule")
            if place.kind != LINK:
                here = place.names
                continue
            hops += 1
            if hops > MOST_HOPS:
                raise LinkRefused("symlink-loop", "goes round in a circle")
            ahead.extendleft(reversed(self._target(place)))
        return self._end(here, roots)

    def _end(self, names: Names, roots: tuple[Names, ...]) -> Place:
        if not _inside(names, roots):
            raise LinkRefused("symlink-outside", "leads out of the service's folder and its watched paths")
        place = self.at(names)
        if place is None:
            raise LinkRefused("symlink-broken", "leads to nothing in the repository")
        return place

    def _target(self, link: Place) -> Names:
        try:
            target = self._objects.content(link.entry[2], LONGEST_TARGET)
        except TooLarge as large:
            raise LinkRefused("symlink-outside", f"has a target of {large.size} bytes") from large
        if target.startswith(b"/"):
            raise LinkRefused("symlink-outside", "leads to an absolute path")
        names = tuple(name for name in target.split(b"/") if name not in (b"", b"."))
        if not target or any(name != b".." and objection(name) for name in names):
            raise LinkRefused("symlink-outside", "has a target that is no plain path")
        return names


def _too_many(path: str) -> Stalled:
    path = path or "."
    problem = Problem(f"{path} has too many entries.", "too-many-files", file=path, remedy="Spread them over folders.")
    return Stalled(Reason.MANIFEST_INVALID, problem.message, problems=(problem,))


def _inside(names: Names, roots: tuple[Names, ...]) -> bool:
    return any(names[: len(root)] == root for root in roots)


def _near(names: Names, roots: tuple[Names, ...]) -> bool:
    return any(names[: len(root)] == root[: len(names)] for root in roots)
