"""The folders that a pattern finds, and which of them are not what they were in another tree.

Two trees are looked through side by side, and only where they differ: what has one id in both holds the same, however
much that is. Refuses to know what the folders are for.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from reconciler.model.names import ObjectId
from reconciler.source.entry_name import shown
from reconciler.source.listing import Entry
from reconciler.source.objects import FOLDER, Objects, kind_of, object_id
from reconciler.source.places import Place, Places
from reconciler.source.search import Search, check_effort


@dataclass(frozen=True, slots=True)
class Folders:
    pattern: str
    root: bytes
    """The tree they are in."""
    looked_into: int
    """How many folders the pattern leads through."""
    ids: Mapping[str, ObjectId]
    """What each holds, by path."""
    moved: Collection[str]
    """Those that were not there before, or held something else."""
    gone: Collection[str]


def look_for(objects: Objects, places: Places, pattern: str, before: Folders | None) -> Folders:
    """Links and submodules are not folders."""
    # An old tree may have gone with an old mirror.
    if before is not None and before.pattern == pattern and objects.has(before.root):
        try:
            return _look_again(places, Places(objects, before.root), before)
        except _Ambiguous:
            pass
    search = Search(places, pattern)
    ids = _ids(search)
    known = before.ids if before is not None else {}
    moved = {path for path, one in ids.items() if known.get(path) != one}
    return Folders(pattern, places.root.entry[2], search.looked_into, ids, moved, known.keys() - ids.keys())


def _look_again(places: Places, former: Places, before: Folders) -> Folders:
    if places.root == former.root:
        return replace(before, moved=(), gone=())
    different: dict[str, list[bytes]] = {}
    now = Search(_Beside(places, former, different), before.pattern)
    then = Search(_Beside(former, places, different), before.pattern)
    found, lost = _ids(now), _ids(then)
    looked_into = before.looked_into + now.looked_into - then.looked_into
    check_effort(looked_into, before.pattern)
    moved = {path: one for path, one in found.items() if lost.get(path) != one}
    gone = lost.keys() - found.keys()
    ids = {**before.ids, **moved}
    for path in gone:
        del ids[path]
    return Folders(before.pattern, places.root.entry[2], looked_into, ids, moved.keys(), gone)


def _ids(search: Search) -> dict[str, ObjectId]:
    return {path: object_id(entry[2]) for path, entry in search.found() if kind_of(entry) == FOLDER}


class _Ambiguous(Exception):
    """A path does not say which folder it is."""


@dataclass(slots=True)
class _Beside:
    """A tree, as far as it is not the same as another one."""

    places: Places
    other: Places
    different: dict[str, list[bytes]]
    """The names by which the two differ in a folder; the same from either side."""
    _twins: dict[str, Entry | None] = field(default_factory=dict)
    """What the other has at a path."""

    @property
    def root(self) -> Place:
        self._twins[""] = self.other.root.entry
        return self.places.root

    def children(self, tree: bytes, path: str) -> dict[bytes, Entry]:
        ours, twin = self.places.children(tree, path), self._twins[path]
        theirs = self.other.children(twin[2], path) if twin is not None and kind_of(twin) == FOLDER else {}
        if path not in self.different:
            moved = [name for name, entry in ours.items() if theirs.get(name) != entry]
            self.different[path] = [*moved, *(theirs.keys() - ours.keys())]
        for name in self.different[path]:
            text = shown(name)
            # An escape that somebody wrote looks like one of ours.
            if "\\" in text:
                raise _Ambiguous
            self._twins[f"{path}/{text}" if path else text] = theirs.get(name)
        return {name: ours[name] for name in self.different[path] if name in ours}
