"""What a folder holds, as git wrote it down; long listings are remembered.

A tree's id says what it holds, wherever it lies: what was read once need not be read again. And of thousands of
folders a commit changes a few, so that a listing with the names of one that is remembered is read only where the two
differ. Refuses to interpret a name.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from itertools import chain
from threading import Lock
from typing import Final, TypeAlias

LONG: Final = 4_096
"""Bytes; a shorter listing is read as quickly as it is found."""
MOST_REMEMBERED: Final = 4
MOST_BYTES: Final = 1 << 20
"""Of all that are remembered, as git writes them: of 25,000 services or so. Read, they are twenty times as large."""
MOST_PLACES: Final = 200
"""With more differences than that, reading everything is the shorter way."""
BLOCK: Final = 64

Entry: TypeAlias = tuple[bytes, bytes, bytes]
"""Mode in octal digits, name, and the twenty bytes of the object's id."""

_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0/]+)\0(.{20})", re.DOTALL)
_ENTRIES = re.compile(rb"(?:[0-7]{5,6} [^\0/]+\0.{20})*+", re.DOTALL)
_SEPARATORS = len(b" \0")


class Malformed(Exception):
    """It is no listing."""


@dataclass(frozen=True, slots=True)
class _Listing:
    data: bytes
    entries: dict[bytes, Entry]


class Listings:
    """For any number of threads."""

    def __init__(self) -> None:
        self._remembered: OrderedDict[bytes, _Listing] = OrderedDict()
        self._lock = Lock()

    def known(self, tree: bytes) -> dict[bytes, Entry] | None:
        with self._lock:
            listing = self._remembered.get(tree)
            if listing is None:
                return None
            self._remembered.move_to_end(tree)
        return listing.entries

    def read(self, tree: bytes, data: bytes) -> dict[bytes, Entry]:
        """The entries by name, in git's order. Raises `Malformed`."""
        if len(data) < LONG:
            return read(data)
        with self._lock:
            others = [one for one in reversed(self._remembered.values()) if len(one.data) == len(data)]
        amended = (_amended(other, data) for other in others)
        entries = next((one for one in amended if one is not None), None) or read(data)
        self._remember(tree, _Listing(data, entries))
        return entries

    def _remember(self, tree: bytes, listing: _Listing) -> None:
        if len(listing.data) > MOST_BYTES:
            return
        with self._lock:
            self._remembered[tree] = listing
            while len(self._remembered) > MOST_REMEMBERED or self._size() > MOST_BYTES:
                self._remembered.popitem(last=False)

    def _size(self) -> int:
        return sum(len(listing.data) for listing in self._remembered.values())


def read(data: bytes) -> dict[bytes, Entry]:
    found: list[Entry] = _ENTRY.findall(data)
    named = {entry[1]: entry for entry in found}
    understood = len(b"".join(chain.from_iterable(found))) + _SEPARATORS * len(found)
    if understood != len(data) or len(named) != len(found):
        raise Malformed
    return named


def _amended(known: _Listing, data: bytes) -> dict[bytes, Entry] | None:
    """As known, save for some modes and ids; None where names differ as well, or too much does."""
    differing = _differing(known.data, data)
    if differing is None:
        return None
    moved: dict[bytes, Entry] = {}
    here = 0
    for begin in differing:
        if begin > here and (whole := _ENTRIES.match(data, here, begin)) is not None:
            here = whole.end()
        while here < min(begin + BLOCK, len(data)):
            old, new = _ENTRY.match(known.data, here), _ENTRY.match(data, here)
            if old is None or new is None or old[2] != new[2] or old.end() != new.end():
                return None
            if old.groups() != new.groups():
                moved[new[2]] = (new[1], new[2], new[3])
            here = new.end()
    return {**known.entries, **moved}


def _differing(one: bytes, other: bytes) -> list[int] | None:
    """Where the blocks begin in which two texts of one length differ, in order; None when they are too many."""
    found: list[int] = []
    ahead = [(0, -(-len(one) // BLOCK))]
    while ahead:
        first, end = ahead.pop()
        if one[first * BLOCK : end * BLOCK] == other[first * BLOCK : end * BLOCK]:
            continue
        if end - first == 1:
            found.append(first * BLOCK)
            if len(found) > MOST_PLACES:
                return None
            continue
        middle = (first + end) // 2
        ahead += [(middle, end), (first, middle)]
    return found
