"""Reading what was said: two files of records, written by others, rotated while we read.

Memory stays bounded whatever the files hold and however slow the reader is: where the answer begins is found
by walking backwards block by block, and records are then passed on in pieces as fast as they are taken.
A follower keeps what it reads open and watches both files, since a worker that was silent for long still
writes its next record into the file that was renamed.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from reconciler.log import printable

OLDEST_FIRST = ("previous.jsonl", "current.jsonl")
BLOCK = 64 * 1024
LONGEST_RECORD = 64 * 1024
"""Writers stop at a quarter of this; whatever is longer is no record of theirs."""
LOOK_EVERY = 0.1
DISORDER = timedelta(seconds=1)
"""Several workers write to one file, each with a moment it took a little earlier."""
BEGINNING = datetime.min.replace(tzinfo=UTC)


LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class Filter:
    says: Mapping[str, str] = field(default_factory=dict)
    """What a record must say of itself: its request, its release."""
    level: str | None = None
    """This one or worse."""
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, line: bytes) -> bool:
        if self.takes_all:
            return bool(line.strip())
        if not all(piece in line for piece in self._pieces) or not any(piece in line for piece in self._level_pieces):
            return False
        record = read_record(line)
        return record is not None and self._wants(record)

    def is_too_old(self, line: bytes) -> bool:
        """So are all lines before it."""
        record = read_record(line) if self.since else None
        return record is not None and self.since is not None and self.since - _moment_of(record) > DISORDER

    @cached_property
    def takes_all(self) -> bool:
        return not self.says and self.level is None and self.since is None and self.until is None

    def _wants(self, record: dict[str, Any]) -> bool:
        return (
            all(record.get(name) == value for name, value in self.says.items())
            and (self.level is None or record.get("level") in self._levels)
            and (self.since is None or _moment_of(record) >= self.since)
            and (self.until is None or _moment_of(record) <= self.until)
        )

    @cached_property
    def _levels(self) -> tuple[str, ...]:
        return LEVELS[LEVELS.index(self.level) :] if self.level else LEVELS

    @cached_property
    def _pieces(self) -> tuple[bytes, ...]:
        """What a line must hold as it stands, so that most need not be parsed."""
        return tuple(json.dumps(value, ensure_ascii=False).encode(errors="replace") for value in self.says.values())

    @cached_property
    def _level_pieces(self) -> tuple[bytes, ...]:
        """One of these, likewise."""
        return tuple(f'"{level}"'.encode() for level in self._levels) if self.level else (b"",)


async def newest(folder: Path, wanted: Filter, limit: int) -> AsyncIterator[bytes]:
    """The last records that are wanted, whole lines in pieces."""
    with Records(folder, growing=False) as records:
        await asyncio.to_thread(records.seek, wanted, limit)
        while (piece := await asyncio.to_thread(records.read, wanted)) is not None:
            if piece:
                yield piece


async def follow(folder: Path, wanted: Filter, limit: int) -> AsyncGenerator[bytes, None]:
    """The same, and then whatever is written, without an end."""
    with Records(folder, growing=True) as records:
        await asyncio.to_thread(records.seek, wanted, limit)
        while True:
            piece = await asyncio.to_thread(records.read, wanted)
            if piece:
                yield piece
            elif piece is None and not records.look_again():
                await asyncio.sleep(LOOK_EVERY)


async def as_text(records: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """For people: no JSON, and nothing that a terminal would obey."""
    async for piece in records:
        yield "".join(_text_of(line) for line in piece.splitlines()).encode()


def read_record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


class Records:
    """A place in the records of one folder."""

    def __init__(self, folder: Path, *, growing: bool) -> None:
        self._folder = folder
        self._growing = growing
        self._files: list[RecordFile] = []

    def __enter__(self) -> "Records":
        self.look_again()
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def look_again(self) -> bool:
        """Take up files that appeared, let go of those that are gone and read; say whether there is more to read."""
        there = {file.identity: file for file in _open_files(self._folder)}
        kept = [file for file in self._files if file.identity in there or file.has_more()]
        for file in self._files:
            if file not in kept:
                file.close()
            elif file.identity in there:
                there.pop(file.identity).close()
        self._files = [*kept, *there.values()]
        return any(file.has_more() for file in self._files)

    def seek(self, wanted: Filter, limit: int) -> None:
        """Go to where the last `limit` wanted records begin."""
        for file in reversed(self._files):
            limit = file.seek(wanted, limit)

    def read(self, wanted: Filter) -> bytes | None:
        """The wanted lines of the next block, perhaps none; None where there is nothing to read."""
        for file in self._files:
            if (block := file.read(growing=self._growing)) is not None:
                return b"".join(line for line in block.splitlines(keepends=True) if wanted.takes(line))
        return None


class RecordFile:
    """One file of lines, read from a position on. What follows the last newline is not there yet."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        status = os.fstat(self._file.fileno())
        self.identity = (status.st_dev, status.st_ino)
        self._position = 0
        self._looked_at = 0
        self._size = status.st_size

    def close(self) -> None:
        self._file.close()

    def seek(self, wanted: Filter, limit: int) -> int:
        """Go to where the last wanted records begin; say how many more may be found in older files."""
        self._position = self._size
        for offset, line in self._backwards():
            if limit == 0 or wanted.is_too_old(line):
                return 0
            if wanted.takes(line):
                self._position = offset
                limit -= 1
        return limit

    def has_more(self) -> bool:
        return os.fstat(self._file.fileno()).st_size > max(self._position, self._looked_at)

    def read(self, *, growing: bool) -> bytes | None:
        """The next whole lines, of those that were there at the beginning unless it is growing."""
        self._file.seek(self._position)
        size = BLOCK + LONGEST_RECORD
        block = self._file.read(size if growing else min(size, self._size - self._position)) or b""
        self._looked_at = self._position + len(block)
        end = block.rfind(b"\n") + 1
        if end == 0 and len(block) == size:
            self._position += len(block)
            return b""
        self._position += end
        return block[:end] or None

    def _backwards(self) -> Iterator[tuple[int, bytes]]:
        """Whole lines and where they begin, the last one first."""
        position, rest = self._size, b""
        while position > 0:
            size = min(BLOCK, position)
            position -= size
            self._file.seek(position)
            lines = ((self._file.read(size) or b"") + rest).split(b"\n")
            offset = position + sum(map(len, lines)) + len(lines) - 1
            for line in reversed(lines[1:]):
                offset -= len(line)
                if line:
                    yield offset, line
                offset -= 1
            rest = lines[0] if len(lines[0]) <= LONGEST_RECORD else b""
        if rest:
            yield 0, rest


def _open_files(folder: Path) -> list[RecordFile]:
    found: dict[tuple[int, int], RecordFile] = {}
    # The newest first: if it is renamed meanwhile we meet it twice, and not never.
    for name in reversed(OLDEST_FIRST):
        try:
            file = RecordFile(folder / name)
        except FileNotFoundError:
            continue
        if file.identity in found:
            file.close()
        else:
            found[file.identity] = file
    return list(reversed(found.values()))


def _moment_of(record: dict[str, Any]) -> datetime:
    try:
        found = datetime.fromisoformat(str(record.get("time")))
    except ValueError:
        return BEGINNING
    return found if found.tzinfo else BEGINNING


def _text_of(line: bytes) -> str:
    record = read_record(line)
    if record is None:
        return printable(line.decode(errors="replace")) + "\n"
    who = record.get("release") or record.get("service") or record.get("process") or ""
    request = f" [{record['request']}]" if record.get("request") else ""
    first, *more = str(record.get("message", "")).splitlines() or [""]
    head = f"{record.get('time', '')} {record.get('level', ''):<8} {who}{request} {first}"
    return "".join(printable(each) + "\n" for each in (head, *(f"  {one}" for one in more)))
