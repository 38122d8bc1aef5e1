"""Git's objects, as they lie in the mirror.

Reads through libgit2's object database alone: no configuration, no references, no owner check, no checkout.
Sizes are known before contents are read. Trees are split here rather than by libgit2, so that names stay the
bytes they are. Refuses to interpret a name or to follow anything.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType

from reconciler.model.failure import Reason, Stalled, Wait
from reconciler.model.names import ObjectId
from reconciler.source.listing import Entry, Listings, Malformed

LARGEST_TREE = 4 * 1024 * 1024
"""Bytes of one folder's listing; some 80,000 entries."""
LARGEST_COMMIT = 1024 * 1024

FILE, FOLDER, LINK, SUBMODULE = 0o100000, 0o040000, 0o120000, 0o160000
_TYPE_BITS = 0o170000

_PARENT = re.compile(rb"^parent ([0-9a-f]{40})$", re.MULTILINE)
_listings = Listings()
"""Of all repositories: equal ids are equal trees."""


class TooLarge(Exception):
    """An object is larger than whoever asked is ready to read."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class Objects:
    def __init__(self, mirror: Path, on_damage: Callable[[], None], quarantine: Path | None = None) -> None:
        self._odb = pygit2.Odb(str(mirror / "objects"))
        if quarantine is not None:
            # What is being pushed, and is no part of the repository yet.
            self._odb.add_disk_alternate(str(quarantine))
        self._on_damage = on_damage

    def has(self, tree: bytes) -> bool:
        return pygit2.Oid(raw=tree) in self._odb

    def root(self, commit: ObjectId) -> bytes:
        """The tree of a commit."""
        text = self._commit(commit)
        if not text.startswith(b"tree "):
            raise self._damaged()
        return bytes.fromhex(text[5:45].decode("ascii", "replace"))

    def parents(self, commit: ObjectId) -> tuple[ObjectId, ...]:
        head, _, _ = self._commit(commit).partition(b"\n\n")
        return tuple(ObjectId(sha.decode("ascii")) for sha in _PARENT.findall(head))

    def entries(self, tree: bytes) -> dict[bytes, Entry]:
        """A folder's entries by name, in git's order."""
        known = _listings.known(tree)
        if known is not None:
            return known
        try:
            return _listings.read(tree, self._read(tree, ObjectType.TREE, LARGEST_TREE))
        except Malformed as malformed:
            raise self._damaged() from malformed

    def size(self, blob: bytes) -> int:
        return self._header(blob, ObjectType.BLOB)

    def content(self, blob: bytes, limit: int) -> bytes:
        return self._read(blob, ObjectType.BLOB, limit)

    def _commit(self, commit: ObjectId) -> bytes:
        if pygit2.Oid(hex=commit) not in self._odb:
            message = f"Commit {commit[:8]} is not in the mirror of the repository. Sync again."
            raise Wait(Reason.SOURCE_UNAVAILABLE, message)
        if self._kind_and_size(bytes.fromhex(commit))[0] in (ObjectType.TAG, ObjectType.TREE, ObjectType.BLOB):
            message = (
                f"{commit[:8]} is no commit, and only a commit can be followed. Push what a tag is about: `TAG^{{}}`"
            )
            raise Stalled(Reason.SOURCE_UNAVAILABLE, message)
        try:
            return self._read(bytes.fromhex(commit), ObjectType.COMMIT, LARGEST_COMMIT)
        except TooLarge as large:
            message = f"Commit {commit[:8]} has {large.size:,} bytes of text. Commit again with a shorter message."
            raise Stalled(Reason.SOURCE_UNAVAILABLE, message) from large

    def _read(self, oid: bytes, expected: ObjectType, limit: int) -> bytes:
        size = self._header(oid, expected)
        if size > limit:
            raise TooLarge(size)
        try:
            return self._odb.read(pygit2.Oid(raw=oid))[1]
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise self._damaged() from error

    def _header(self, oid: bytes, expected: ObjectType) -> int:
        kind, size = self._kind_and_size(oid)
        if kind != expected:
            raise self._damaged()
        return size

    def _kind_and_size(self, oid: bytes) -> tuple[int, int]:
        try:
            return self._odb.read_header(pygit2.Oid(raw=oid))
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise self._damaged() from error

    def _damaged(self) -> Wait:
        self._on_damage()
        return Wait(
            Reason.SOURCE_UNAVAILABLE,
            "An object is missing or damaged in the mirror of the repository; the mirror is fetched anew.",
        )


def kind_of(entry: Entry) -> int:
    """FILE, FOLDER, LINK or SUBMODULE; anything else is none of them and comes back as it is."""
    return _kind(entry[0])


@lru_cache(maxsize=64)
def _kind(mode: bytes) -> int:
    return int(mode, 8) & _TYPE_BITS


def is_executable(entry: Entry) -> bool:
    return bool(int(entry[0], 8) & 0o100)


def object_id(raw: bytes) -> ObjectId:
    return ObjectId(raw.hex())
