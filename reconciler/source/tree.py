"""The tree of one revision: which folders there are, what they hold, and how they get onto the disk.

Nothing is ever checked out. A listing of folders costs one object, a service's files are judged entry by
entry before any is written, and whatever is wrong is wrong with that folder only. Refuses to read anything
that is not an object of the repository: a link is followed inside the tree or not at all.
"""

from collections.abc import Iterator
from pathlib import Path

from reconciler.model.names import ObjectId
from reconciler.model.problem import Problem
from reconciler.source.folders import Folders, look_for
from reconciler.source.objects import FOLDER, LINK, SUBMODULE, Objects, TooLarge, object_id
from reconciler.source.pattern import encoded, split
from reconciler.source.places import LinkRefused, Place, Places
from reconciler.source.search import Found, Search
from reconciler.source.survey import LFS_SIGNATURE, File, Survey, file_too_large, lfs_pointer, refusal
from reconciler.source.writing import write_files


class Tree:
    """Not for use by two threads at once."""

    def __init__(self, objects: Objects, sha: ObjectId) -> None:
        self.sha = sha
        self._objects = objects
        self._places = Places(objects, objects.root(sha))
        self._surveys: dict[tuple[str, tuple[str, ...]], tuple[File, ...]] = {}

    @property
    def id(self) -> ObjectId:
        return object_id(self._places.root.entry[2])

    def folders(self, pattern: str) -> dict[str, ObjectId]:
        """The folders a pattern finds, by path. Links and submodules are not folders."""
        return dict(self.look_for(pattern).ids)

    def look_for(self, pattern: str, before: Folders | None = None) -> Folders:
        """The same, told apart from what was found before: that costs what differs."""
        return look_for(self._objects, self._places, pattern, before)

    def matches(self, pattern: str) -> dict[str, ObjectId]:
        """Whatever a pattern finds, files and folders, by path. `lib/**` is the folder `lib`, whole."""
        return {path: object_id(entry[2]) for path, entry in self._find(pattern)}

    def object_id(self, path: str) -> ObjectId | None:
        place = self._at(path)
        return None if place is None else object_id(place.entry[2])

    def blob(self, path: str, limit: int) -> bytes | None:
        """A file's content; None when there is no such file. Links are followed inside the repository."""
        place = self._at(path)
        if place is not None and place.kind == LINK:
            place = self._follow(path, place)
        if place is None or place.kind in (FOLDER, SUBMODULE):
            return None
        try:
            content = self._objects.content(place.entry[2], limit)
        except TooLarge as large:
            raise file_too_large(path, large.size, limit) from large
        if content.startswith(LFS_SIGNATURE):
            raise lfs_pointer(path)
        return content

    def files(self, path: str, watched: tuple[str, ...] = ()) -> tuple[File, ...]:
        """All files of a folder, and of the watched paths that belong to it, each of them fit to be written.

        Raises `Stalled` with every problem found.
        """
        key = (path, watched)
        if key not in self._surveys:
            roots = tuple(self._present(root) for root in (path, *watched))
            self._surveys[key] = Survey(self._objects, self._places, roots).files()
        return self._surveys[key]

    def write(self, path: str, into: Path, watched: tuple[str, ...] = ()) -> Path:
        """Write those files to their places below `into`, all or none, and say where the folder `path` is.

        The layout is the repository's, so that a link from the folder to a watched path leads there.
        """
        files = self.files(path, watched)
        write_files(files, lambda file: self._objects.content(bytes.fromhex(file.id), file.size), into)
        return into.joinpath(*(split(path) or ()))

    def _at(self, path: str) -> Place | None:
        names = split(path)
        return None if names is None else self._places.at(tuple(map(encoded, names)))

    def _present(self, path: str) -> Place:
        place = self._at(path)
        if place is None:
            raise refusal([Problem(f"{path} is not in the repository.", "not-found", file=path)])
        return place

    def _follow(self, path: str, link: Place) -> Place:
        try:
            return self._places.follow(link, ((),))
        except LinkRefused as refused:
            message = f"{path} is a symbolic link that {refused.message}."
            problem = Problem(message, refused.code, file=path, remedy="Put the file itself here.")
            raise refusal([problem]) from refused

    def _find(self, pattern: str) -> Iterator[Found]:
        return Search(self._places, pattern).found()
