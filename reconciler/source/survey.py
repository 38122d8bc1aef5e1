"""What a service's folder holds, judged entry by entry before a byte of it is written.

Counts as it goes and stops at the first limit, so that a folder of ten objects and ten thousand million files
costs no more than any other. Sizes are read before contents. Everything wrong with a folder is said at once,
and is wrong with that folder only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from reconciler.model.failure import Reason, Stalled
from reconciler.model.names import ObjectId
from reconciler.model.problem import Problem
from reconciler.source.entry_name import collision_key, objection
from reconciler.source.listing import Entry
from reconciler.source.objects import FILE, FOLDER, LINK, SUBMODULE, Objects, TooLarge, is_executable, object_id
from reconciler.source.places import LinkRefused, Names, Place, Places

MOST_ENTRIES = 20_000
MOST_BYTES = 64 * 1024 * 1024
LARGEST_FILE = 32 * 1024 * 1024
LONGEST_PATH = 1024
DEEPEST = 64
MOST_FOLDER_LINKS = 256
MOST_PROBLEMS = 20

REGULAR_MODE, EXECUTABLE_MODE, LINK_MODE = 0o100644, 0o100755, 0o120000

LFS_SIGNATURE = b"version https://git-lfs.github.com/spec/"
_LONGEST_POINTER = 1024


@dataclass(frozen=True, slots=True)
class File:
    path: str
    """In the repository, with forward slashes."""
    mode: int
    """One of the three modes above, whatever git recorded."""
    size: int
    id: ObjectId


class _Enough(Exception):
    """A limit is reached; looking further would only cost."""


class Survey:
    def __init__(self, objects: Objects, places: Places, roots: tuple[Place, ...]) -> None:
        self._objects = objects
        self._places = places
        self._roots = roots
        self._names: tuple[Names, ...] = tuple(root.names for root in roots)
        self._files: dict[str, File] = {}
        self._folder_links: list[tuple[Place, Names]] = []
        self._problems: list[Problem] = []
        self._listings: dict[bytes, dict[bytes, Entry]] = {}
        self._weights: dict[bytes, int] = {}
        self._bytes = 0

    def files(self) -> tuple[File, ...]:
        try:
            self._weigh()
            for root in self._roots:
                self._walk(root)
            self._refuse_circles()
        except _Enough:
            pass
        if self._problems:
            raise refusal(self._problems)
        return tuple(self._files.values())

    def _walk(self, root: Place) -> None:
        ahead = [root]
        while ahead:
            place = ahead.pop()
            if place.kind == FOLDER:
                ahead.extend(self._list(place))
            else:
                self._take(place)

    def _list(self, folder: Place) -> list[Place]:
        """The entries of a folder that are fit to be looked at, the first last."""
        entries = self._listings[folder.entry[2]]
        self._refuse_collisions(folder, entries)
        fit = [place for name, entry in entries.items() if (place := self._fit(folder, name, entry))]
        return fit[::-1]

    def _fit(self, folder: Place, name: bytes, entry: Entry) -> Place | None:
        place = Place((*folder.names, name), entry)
        why = objection(name)
        if why is not None:
            self._refuse(place, "bad-name", f"has a name that {why}", "Rename it.")
            return None
        if sum(map(len, place.names)) + len(place.names) - 1 > LONGEST_PATH:
            self._refuse(place, "path-too-long", f"has a path longer than {LONGEST_PATH} bytes", "Shorten it.")
            return None
        return place

    def _weigh(self) -> None:
        """Refuse too many entries before looking at any; equal folders are counted as often as they stand there."""
        total = 0
        for root in self._roots:
            total += self._weight(root) if root.kind == FOLDER else 1
            if total > MOST_ENTRIES:
                self._stop(root, "too-many-files", f"holds more than {MOST_ENTRIES:,} files and folders", MOVE_OUT)

    def _weight(self, folder: Place) -> int:
        tree = folder.entry[2]
        if tree in self._weights:
            return self._weights[tree]
        if len(folder.names) >= DEEPEST:
            self._stop(folder, "too-deep", f"is nested more than {DEEPEST} folders deep", "Flatten it.")
        try:
            entries = self._listings[tree] = self._objects.entries(tree)
        except TooLarge:
            self._stop(folder, "too-many-files", "has too many entries", MOVE_OUT)
        weight = len(entries)
        for name, entry in entries.items():
            if weight > MOST_ENTRIES:
                break
            place = Place((*folder.names, name), entry)
            weight += self._weight(place) if place.kind == FOLDER else 0
        self._weights[tree] = weight
        return weight

    def _take(self, place: Place) -> None:
        if place.path in self._files:
            return
        if place.kind == SUBMODULE:
            self._refuse(place, "submodule", "is a submodule, which is never fetched", "Put the files themselves here.")
        elif place.kind == LINK:
            self._take_link(place)
        elif place.kind == FILE:
            self._take_file(place)
        else:
            self._refuse(place, "bad-name", "is neither a file nor a folder", "Remove it.")

    def _take_file(self, place: Place) -> None:
        blob = place.entry[2]
        size = self._objects.size(blob)
        if size > LARGEST_FILE:
            message = f"has {_mebibytes(size)}; a file has at most {_mebibytes(LARGEST_FILE)}"
            self._refuse(place, "file-too-large", message, "Keep large data outside git.")
            return
        if size <= _LONGEST_POINTER and self._objects.content(blob, size).startswith(LFS_SIGNATURE):
            self._refuse(place, "lfs-pointer", LFS_MESSAGE, LFS_REMEDY)
            return
        self._bytes += size
        if self._bytes > MOST_BYTES:
            message = f"holds more than {_mebibytes(MOST_BYTES)} in all"
            self._stop(self._root_of(place), "too-large", message, "Keep large data outside git.")
        mode = EXECUTABLE_MODE if is_executable(place.entry) else REGULAR_MODE
        self._files[place.path] = File(place.path, mode, size, object_id(blob))

    def _take_link(self, place: Place) -> None:
        try:
            end = self._places.follow(place, self._names)
        except LinkRefused as refused:
            self._refuse(place, refused.code, f"is a symbolic link that {refused.message}", "Put the file itself here.")
            return
        if end.kind == FOLDER:
            self._folder_links.append((place, end.names))
        if len(self._folder_links) > MOST_FOLDER_LINKS:
            message = f"holds more than {MOST_FOLDER_LINKS} symbolic links to folders"
            self._stop(self._root_of(place), "too-many-files", message, "Put the files themselves there.")
        blob = place.entry[2]
        self._files[place.path] = File(place.path, LINK_MODE, self._objects.size(blob), object_id(blob))

    def _refuse_collisions(self, folder: Place, entries: Iterable[bytes]) -> None:
        seen: dict[str, bytes] = {}
        for name in entries:
            other = seen.setdefault(collision_key(name), name)
            if other is not name:
                twin = Place((*folder.names, other), folder.entry).path
                message = f"and {twin} are the same name on some systems (case or accents)"
                place = Place((*folder.names, name), folder.entry)
                self._refuse(place, "name-collision", message, "Rename one of them.")

    def _refuse_circles(self) -> None:
        """Refuse links to folders from which, by such links, one comes back to the same link."""
        links = self._folder_links
        leads = {
            index: [at for at, (other, _) in enumerate(links) if other.names[: len(target)] == target]
            for index, (_, target) in enumerate(links)
        }
        for index, (place, _) in enumerate(links):
            if _comes_back(index, leads):
                self._refuse(place, "symlink-loop", "is a symbolic link that contains itself", "Remove the link.")

    def _root_of(self, place: Place) -> Place:
        return next(root for root in self._roots if place.names[: len(root.names)] == root.names)

    def _refuse(self, place: Place, code: str, message: str, remedy: str) -> None:
        path = place.path or "."
        self._problems.append(Problem(f"{path[:200]} {message}.", code, file=path[:LONGEST_PATH], remedy=remedy))
        if len(self._problems) >= MOST_PROBLEMS:
            raise _Enough

    def _stop(self, place: Place, code: str, message: str, remedy: str) -> NoReturn:
        self._refuse(place, code, message, remedy)
        raise _Enough


def _comes_back(start: int, leads: dict[int, list[int]]) -> bool:
    seen: set[int] = set()
    ahead = list(leads[start])
    while ahead:
        index = ahead.pop()
        if index == start:
            return True
        if index not in seen:
            seen.add(index)
            ahead.extend(leads[index])
    return False


MOVE_OUT = "Move generated files and data out of git."
LFS_MESSAGE = "is a Git LFS pointer; what it points to is not fetched"
LFS_REMEDY = "Commit the file itself, or keep it outside git."


def refusal(problems: Iterable[Problem]) -> Stalled:
    """One failure for everything that is wrong with a folder."""
    found = tuple(problems)
    more = f" And {len(found) - 1} more." if len(found) > 1 else ""
    return Stalled(Reason.MANIFEST_INVALID, found[0].message + more, problems=found)


def file_too_large(path: str, size: int, limit: int) -> Stalled:
    message = f"{path} has {size:,} bytes; at most {limit:,} are read."
    return refusal([Problem(message, "file-too-large", file=path, remedy="Make it smaller.")])


def lfs_pointer(path: str) -> Stalled:
    return refusal([Problem(f"{path} {LFS_MESSAGE}.", "lfs-pointer", file=path, remedy=LFS_REMEDY)])


def _mebibytes(size: int) -> str:
    return f"{size / 1024 / 1024:,.0f} MiB"
