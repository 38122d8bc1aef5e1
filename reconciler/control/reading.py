"""A revision, read into wishes; and only what changed is read.

One listing gives the git tree of every service folder. A folder whose tree, watched paths and platform file
are what they were costs one comparison; everything else is read anew. Refuses to look at anything but git.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from reconciler.control.attention import unhurried_in_thread
from reconciler.control.gate import Shelf
from reconciler.control.view import ROUTER, TEXT_LIMIT, Folder, View, manifest_invalid, read_folder
from reconciler.control.wanted import Reading, Unfit, Wish
from reconciler.model.document import Invalid
from reconciler.model.failure import Reason, Stalled
from reconciler.model.names import ObjectId, Revision, ServiceName
from reconciler.model.platform import (
    FILE,
    MANIFEST,
    Platform,
    gather,
    read_platform,
    unused_overrides,
)
from reconciler.model.problem import Problem
from reconciler.source.folders import Folders
from reconciler.source.tree import Tree

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Past:
    """The last reading, to compare with."""

    sha: ObjectId | None = None
    platform_id: ObjectId | None = None
    platform: Platform | None = None
    found: Folders | None = None
    folders: Mapping[str, Folder] = field(default_factory=dict)
    wishes: Mapping[ServiceName, Wish] = field(default_factory=dict)
    restless: frozenset[str] = frozenset()
    """Folders whose own tree does not tell all: they watch other paths, or could not be read for now."""


@dataclass(frozen=True, slots=True)
class Oddities:
    """What is wrong with no service, and yet worth saying."""

    misnamed: tuple[Problem, ...] = ()
    unused: tuple[Problem, ...] = ()
    """Overrides for services that do not exist."""
    bare: tuple[Problem, ...] = ()
    """Folders that look like services and say nothing."""


class Reader:
    """Not for use by two threads at once."""

    def __init__(self, shelf: Shelf, hosts: tuple[str, ...] = (), *, obey_locks: bool = True) -> None:
        self._shelf = shelf
        self._hosts = hosts
        self._obey_locks = obey_locks
        """Otherwise a `service.lock` is passed by: whoever writes one wants to know what the manifest asks for."""
        self._past = Past()
        self._odd = Oddities()

    def apart(self, shelf: Shelf) -> "Reader":
        """Another reader that knows what this one has read, and of which this one never hears."""
        reader = Reader(shelf, self._hosts, obey_locks=self._obey_locks)
        reader._past, reader._odd = self._past, self._odd
        return reader

    def read(self, tree: Tree, revision: Revision, platform: Platform | None = None) -> Reading:
        """Raises only when nothing at all can be followed; what is wrong with one service is its own wish.

        A `platform` takes the place of the tree's own, for whoever wants to look further when that is broken.
        """
        if platform is None and tree.sha == self._past.sha and not self._unread():
            return self._told(revision, frozenset(), self._past.wishes)
        platform_id = tree.object_id(FILE)
        platform = platform or self._platform(tree, platform_id)
        past = self._past if platform is self._past.platform else Past()
        view = View(tree, revision, platform, self._hosts, self._shelf, self._obey_locks)
        found = tree.look_for(platform.services, past.found)
        stale = _stale(past, found, view)
        read = {path: read_folder(path, found.ids[path], view) for path in unhurried_in_thread(stale)}
        folders = _renewed(past.folders, found.gone, read)
        before = self._past.wishes
        wishes, changed = self._wishes(past, folders, stale, found.gone, platform, revision)
        restless = frozenset(path for path in {*past.restless, *stale} if path in folders and folders[path].is_restless)
        self._past = Past(tree.sha, platform_id, platform, found, folders, wishes, restless)
        return self._told(revision, changed, before)

    def _unread(self) -> bool:
        """Something could not be read the last time, for a reason that may pass."""
        return any(self._past.folders[path].must_be_read_again for path in self._past.restless)

    def _told(self, revision: Revision, changed: frozenset[ServiceName], before: Mapping[ServiceName, Wish]) -> Reading:
        read, odd = self._past, self._odd
        platform = read.platform or Platform()
        warnings = (*odd.unused, *odd.bare)
        return Reading(revision, platform.mount, platform.prune, read.wishes, changed, before, odd.misnamed, warnings)

    def _platform(self, tree: Tree, platform_id: ObjectId | None) -> Platform:
        if self._past.platform is not None and platform_id == self._past.platform_id:
            return self._past.platform
        try:
            return read_platform(tree.blob(FILE, TEXT_LIMIT))
        except Invalid as invalid:
            raise manifest_invalid(FILE, invalid.problems) from invalid

    def _wishes(
        self,
        past: Past,
        folders: Mapping[str, Folder],
        stale: list[str],
        gone: Collection[str],
        platform: Platform,
        revision: Revision,
    ) -> tuple[Mapping[ServiceName, Wish], frozenset[ServiceName]]:
        """What git asks for, and of which services that is not what it was."""
        if past.folders and not gone and all(_same_name(past, folders, path) for path in stale):
            # The usual case: what was a service still is, under its own name. Nobody else has to be looked at.
            renewed = {wish.name: wish for path in stale if (wish := folders[path].wish) is not None}
            return {**past.wishes, **renewed} if renewed else past.wishes, frozenset(renewed)
        found = {path: folder.wish for path, folder in folders.items() if folder.wish is not None}
        gathered = gather(found)
        wishes = {name: found[path] for name, path in gathered.folders.items()}
        for name, conflict in gathered.conflicts.items():
            failure = Stalled(Reason.ROUTE_CONFLICT, conflict.message, problems=(conflict,))
            before = self._past.wishes.get(name)
            same = isinstance(before, Unfit) and before.failure.message == conflict.message
            wishes[name] = (
                before
                if same and before is not None
                else Unfit(name, str(conflict.file), platform.prefix(name), failure, revision)
            )
        odd = Oddities(gathered.misnamed, unused_overrides(platform, wishes.keys()), _bare(folders))
        for problem in (*odd.misnamed, *odd.unused, *odd.bare) if odd != self._odd else ():
            log.warning(problem.message, extra={"reason": problem.place})
        self._odd = odd
        return wishes, _changed(self._past.wishes, wishes)


def _bare(folders: Mapping[str, Folder]) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            f"`{path}` holds a {ROUTER} and no {MANIFEST}, so it is no service",
            "no-manifest",
            file=path,
            remedy=f"add a {MANIFEST}; `version: 1` is enough",
        )
        for path, folder in sorted(folders.items())
        if folder.has_router
    )


def _changed(before: Mapping[ServiceName, Wish], now: Mapping[ServiceName, Wish]) -> frozenset[ServiceName]:
    different = {name for name, wish in now.items() if before.get(name) is not wish}
    return frozenset(different | (before.keys() - now.keys()))


def _stale(past: Past, found: Folders, view: View) -> list[str]:
    """Folders that must be read: they moved, what they watch did, or reading them failed for the moment."""
    restless = (path for path in past.restless if path in found.ids and path not in found.moved)
    return [*found.moved, *(path for path in restless if _has_moved_elsewhere(past.folders[path], view))]


def _has_moved_elsewhere(folder: Folder, view: View) -> bool:
    return folder.must_be_read_again or not view.shows_the_same(folder)


def _renewed(folders: Mapping[str, Folder], gone: Collection[str], read: Mapping[str, Folder]) -> Mapping[str, Folder]:
    if not gone and not read:
        return folders
    left = {path: folder for path, folder in folders.items() if path not in gone} if gone else folders
    return {**left, **read}


def _same_name(past: Past, folders: Mapping[str, Folder], path: str) -> bool:
    """Still what it was: a service that claims the name it had alone, or none."""
    before, now = past.folders.get(path), folders[path]
    if before is None or (before.wish is None, before.has_router) != (now.wish is None, now.has_router):
        return False
    return before.wish is None or past.wishes.get(before.wish.name) is before.wish
