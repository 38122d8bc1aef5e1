"""Take secrets out of text before it leaves: in one piece, or in pieces that are cut anywhere.

To try every form of every secret at every place would take minutes where copying takes a moment. So only every n-th
group of four bytes is looked at, all at once, in one set: n is so small that each form holds one of those groups
wherever it lies, and each of its n possible groups is in the set. What is in the set is then compared in full. Every
occurrence is found, those that overlap too.

It runs in services' own processes: the standard library only. It is built when it is first needed, since most
processes that are given secrets never say anything in between.
"""

import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Final, NamedTuple

from .disguises import SHORTEST, WORD, disguises

GRAM: Final = 4
STRIDES: Final = (16, 8, 4, 2, 1)
MOST_GRAMS: Final = 150_000
"""Many secrets are looked for at shorter distances, which takes longer and less memory."""
LOOK, FIND = 26.0, 0.6
"""What it costs to look at one group, and to search a byte for one form by itself: nanoseconds, about."""
BLOCK: Final = 512
FARTHEST: Final = 64
UNUSUAL: Final = 3
BRACKETS: Final = ("[]", "<>", "{}", "⟦⟧", "‹›")
FIRST_SYMBOL: Final = 0x2500
LONGEST_CHARACTER: Final = 4
CLASSES: Final = bytes(
    1 if 97 <= byte <= 122 else 2 if 65 <= byte <= 90 else 4 if 48 <= byte <= 57 else 0 for byte in range(256)
)
"""Small letters, capitals, digits; what changes from one to another is rare in ordinary text."""
CHANGES: Final = bytes(both in (1 | 2, 1 | 4, 2 | 4) for both in range(256))


class Span(NamedTuple):
    """Bytes that belong to secrets, and what is told in their place."""

    start: int
    end: int
    marker: bytes


class Redactor:
    """Takes the secrets out that it was given, by name and value."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        self._secrets = tuple(secrets)

    def __repr__(self) -> str:
        return f"Redactor({', '.join(sorted({name for name, _ in self._secrets}))})"

    def text(self, text: str, *, goes_on: bool = False) -> str:
        """Of one that goes on, what may be the beginning of a secret at its end is left out."""
        if not self._secrets or (len(text) < SHORTEST and not goes_on):
            return text
        data = _encoded(text)
        if goes_on:
            return _decoded(self.pieces().feed(data))
        spans, _ = self._search.look(data)
        return _decoded(_told(data, spans, len(data))[0]) if spans else text

    def cut(self, text: str, limit: int, mark: str, *, goes_on: bool = False) -> str:
        """What is told of a text, the mark in place of what is too much; no half of a secret survives the cut."""
        # However long it is, no more of it is read.
        piece = text[: limit + self._search.longest] if self._secrets else text[: limit + 1]
        goes_on = goes_on or len(piece) < len(text)
        told = self.text(piece, goes_on=goes_on)
        return told[:limit] + mark if goes_on or len(told) > limit else told

    def pieces(self) -> "Pieces":
        return Pieces(self._search)

    @cached_property
    def _search(self) -> "Search":
        forms: dict[bytes, str] = {}
        for name, value in sorted(self._secrets):
            for form in disguises(value):
                forms.setdefault(form, name)
        return Search(forms, _brackets(value for _, value in self._secrets))


class Pieces:
    """Bytes in pieces. What may be the beginning of a secret is held back until the rest of it came, or did not."""

    def __init__(self, search: "Search") -> None:
        self._search = search
        self._held = b""
        self._covered = 0
        """How many of the bytes held belong to a secret in whose place something was told already."""

    def feed(self, piece: bytes) -> bytes:
        """What can be told by now."""
        data = self._held + piece
        spans, settled = self._look(data)
        settled = _character_at(data, settled)
        told, reached = _told(data, spans, settled)
        self._held, self._covered = data[settled:], max(0, max(reached, self._covered) - settled)
        return told

    def finish(self) -> bytes:
        """The rest, when nothing follows."""
        spans, _ = self._look(self._held)
        told, _ = _told(self._held, spans, len(self._held))
        self._held, self._covered = b"", 0
        return told

    def _look(self, data: bytes) -> tuple[list[Span], int]:
        spans, settled = self._search.look(data)
        return (_merged([Span(0, self._covered, b""), *spans]) if self._covered else spans), settled


class Search:
    """Where some forms are in some bytes."""

    def __init__(self, names: Mapping[bytes, str], brackets: str) -> None:
        """Whose each form is."""
        self._names = names
        forms = sorted(names, key=len)
        self.longest = len(forms[-1]) if forms else 0
        self._stride, alone = _cheapest([len(form) for form in forms])
        self._alone = forms[:alone]
        self._places = _places(forms[alone:], self._stride)
        self._grams = frozenset(self._places)
        reach = (offset + GRAM for places in self._places.values() for _, offset in places)
        self._unseen = max(chain(reach, map(len, self._alone)), default=1) - 1
        """How much of a form may stand at the end without being recognised as its beginning."""
        self._markers = dict.fromkeys(names.values(), f"{brackets[0]}{WORD}{brackets[1]}".encode())
        for name in self._markers:
            marker = f"{brackets[0]}{WORD} {name}{brackets[1]}".encode()
            # A name may itself be a secret, or hold one.
            if not self.look(marker)[0]:
                self._markers[name] = marker

    def look(self, data: bytes) -> tuple[list[Span], int]:
        """What belongs to secrets, in order; and up to where that is settled, whatever follows."""
        found, settled = [], len(data) - min(self._unseen, len(data))
        for start, form in self._candidates(data):
            if data.startswith(form, start):
                found.append(Span(start, start + len(form), self._markers[self._names[form]]))
            elif start + len(form) > len(data) and form.startswith(data[start:]):
                settled = min(settled, start)
        return _merged(sorted(found)) if found else [], settled

    def _candidates(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        for form in self._alone:
            start = data.find(form)
            while start >= 0:
                yield start, form
                start = data.find(form, start + 1)
        for position, gram in self._hits(data):
            for form, offset in self._places[gram]:
                if position >= offset:
                    yield position - offset, form

    def _hits(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Groups of bytes that are worth a closer look."""
        view, apart = memoryview(data), max(self._stride, GRAM)
        for begin in range(0, min(apart, len(data) - GRAM + 1) if self._grams else 0, self._stride):
            whole = (len(data) - begin) // GRAM * GRAM
            grams = view[begin : begin + whole].cast("I")[:: apart // GRAM]
            for first in range(0, len(grams), BLOCK):
                block = grams[first : first + BLOCK]
                if not self._grams.isdisjoint(block):
                    hits = (number for number, gram in enumerate(block, first) if gram in self._grams)
                    yield from ((begin + number * apart, grams[number]) for number in hits)


def _brackets(values: Iterable[str]) -> str:
    """A pair that is in no value: what is told can then never become part of one, whatever stands beside it."""
    used = set[str]().union(*values)
    symbols = (chr(symbol) * 2 for symbol in range(FIRST_SYMBOL, sys.maxunicode))
    return next(pair for pair in chain(BRACKETS, symbols) if used.isdisjoint(pair))


def _cheapest(lengths: list[int]) -> tuple[int, int]:
    """How far apart to look, and how many of the shortest forms to search for by themselves instead."""
    by_itself = (FIND * len(lengths), STRIDES[0], len(lengths))
    ways = [by_itself]
    for stride in STRIDES:
        short = bisect_left(lengths, stride + GRAM - 1)
        if (len(lengths) - short) * stride <= MOST_GRAMS or stride == 1:
            ways.append((FIND * short + LOOK / stride, stride, short))
    _, stride, short = min(ways)
    return stride, short


def _places(forms: Iterable[bytes], stride: int) -> dict[int, list[tuple[bytes, int]]]:
    """For each group of bytes, which forms hold it, and where."""
    found: dict[int, list[tuple[bytes, int]]] = {}
    for form in forms:
        window = _window(form, stride)
        for offset in range(window, window + stride):
            gram = int.from_bytes(form[offset : offset + GRAM], sys.byteorder)
            found.setdefault(gram, []).append((form, offset))
    return found


def _window(form: bytes, stride: int) -> int:
    """Where to recognise a form: many begin with `https://` or `postgres`, as many other texts do."""
    size = stride + GRAM - 1
    last = min(len(form) - size, FARTHEST)
    kinds = int.from_bytes(form[: last + size].translate(CLASSES), "big")
    # Each byte with the one before it, all at once.
    changed = (kinds | kinds >> 8).to_bytes(last + size, "big").translate(CHANGES)
    best, most = 0, -1
    for window in range(0, last + 1, GRAM):
        changes = changed.count(1, window + 1, window + size)
        if changes > most:
            best, most = window, changes
        if changes >= UNUSUAL:
            break
    return best


def _merged(spans: list[Span]) -> list[Span]:
    """Those that overlap are one."""
    merged = spans[:1]
    for span in spans[1:]:
        last = merged[-1]
        if span.start >= last.end:
            merged.append(span)
        elif span.end > last.end:
            merged[-1] = last._replace(end=span.end)
    return merged


def _told(data: bytes, spans: list[Span], until: int) -> tuple[bytes, int]:
    """What is told of the bytes up to there, and how far it reaches: the last span may go on."""
    pieces, position = [], 0
    for span in spans:
        if span.start >= until:
            break
        pieces += [data[position : span.start], span.marker]
        position = span.end
    return b"".join([*pieces, data[position:until]]), position


def _character_at(data: bytes, position: int) -> int:
    """Where the character begins that this byte belongs to; where it is, when that is no text."""
    for start in range(position, max(position - LONGEST_CHARACTER, -1), -1):
        if start == len(data) or data[start] & 0xC0 != 0x80:
            return start
    return position


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
