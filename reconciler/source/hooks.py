"""The two hooks of a repository that is pushed to, and the way on which they ask.

A hook is a few lines of shell: it passes on what git told it, prints what it hears, and ends as it is told. It asks
through two pipes that it inherits, so whoever can ask is exactly who was started for this push; nothing lies on the
disk that somebody else could connect to. When nobody answers any more, a push that is not accepted yet is declined.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reconciler.model.names import ObjectId

NAMES = ("pre-receive", "post-receive")
HOOK = r"""#!/bin/sh
# Ask the server that was pushed to. It answers line by line; a line that begins with = says how to end.
exec 3>"/dev/fd/$RECONCILER_ASK" 4<"/dev/fd/$RECONCILER_HEAR" || exit 1
{
    printf '%s\n' "${0##*/}" "$GIT_QUARANTINE_PATH"
    while read -r line; do
        printf '%s\n' "$line"
    done
    printf '\n'
    number=0
    while [ "$number" -lt "${GIT_PUSH_OPTION_COUNT:-0}" ]; do
        eval "printf '%s\n' \"\$GIT_PUSH_OPTION_$number\""
        number=$((number + 1))
    done
    printf '.\n'
} >&3
while IFS= read -r line <&4; do
    case $line in
        =*) exit "${line#=}" ;;
        *) printf '%s\n' "${line#.}" >&2 ;;
    esac
done
exit 1
"""
MOST_UPDATES = 10_000
MOST_OPTIONS = 20
LONGEST_LINE = 8192
GATHERS = 0.01
"""So long a line waits for the next. Each that is passed on alone wakes five processes on its way to the terminal."""
TAKES_LINES_WITHIN = 30.0
"""A pusher who does not read holds up nobody but himself, and not for ever."""

_UPDATE = re.compile(r"([0-9a-f]{40}) ([0-9a-f]{40}) (refs/.+)")
NO_COMMIT = ObjectId("0" * 40)


class Broken(Exception):
    """The other side is gone, or says what no hook of ours says."""


@dataclass(frozen=True, slots=True)
class Update:
    old: ObjectId
    new: ObjectId
    ref: str

    @property
    def deletes(self) -> bool:
        return self.new == NO_COMMIT


@dataclass(frozen=True, slots=True)
class Question:
    """What git is about to do, or has done."""

    hook: Literal["pre-receive", "post-receive"]
    quarantine: Path | None
    """Where the objects lie that are not accepted yet."""
    updates: tuple[Update, ...]
    options: tuple[str, ...]


def write_hooks(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in NAMES:
        beside = folder / f".{name}"
        beside.write_text(HOOK)
        beside.chmod(0o700)
        beside.replace(folder / name)


class Line:
    """The two pipes of one push, as long as it lasts."""

    def __init__(self, objects: Path) -> None:
        self.is_settled = False
        """What was pushed has been accepted: none of it lies apart any more."""
        self._objects = objects
        self._question, self.ask = os.pipe()
        self.hear, self._answer = os.pipe()
        self._kept: list[asyncio.BaseTransport] = []
        self._unsaid = ""
        self._soon: asyncio.TimerHandle | None = None

    @property
    def environ(self) -> dict[str, str]:
        return {"RECONCILER_ASK": str(self.ask), "RECONCILER_HEAR": str(self.hear)}

    async def open(self) -> None:
        """Once the other side has its ends: from then on, their end is the end of the push."""
        os.close(self.ask)
        os.close(self.hear)
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(limit=LONGEST_LINE)
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), os.fdopen(self._question, "rb", 0)
        )
        writing, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(self._answer, "wb", 0)
        )
        self._writer = asyncio.StreamWriter(writing, protocol, None, loop)
        self._kept = [reading, writing]

    def close(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
        kept, self._kept = self._kept, []
        for transport in kept:
            # One that was hung up on closes itself, and must not be closed twice.
            if isinstance(transport, asyncio.WriteTransport) and not transport.is_closing():
                transport.abort()
            else:
                transport.close()

    def abandon(self) -> None:
        """There is no other side: it could not be started."""
        for descriptor in (self.ask, self.hear, self._question, self._answer):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    async def questions(self) -> AsyncIterator[Question]:
        while (question := await self._next()) is not None:
            yield question

    async def say(self, text: str) -> None:
        """Lines for the pusher's terminal, in a moment."""
        self._unsaid += "".join(f".{line}\n" for line in text.split("\n"))
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(GATHERS, self._write)
        await self._drain()

    async def end(self, *, well: bool) -> None:
        self._unsaid += f"={0 if well else 1}\n"
        self._write()
        await self._drain()

    async def _next(self) -> Question | None:
        try:
            name = (await self._reader.readline()).decode(errors="replace").rstrip("\n")
            if not name:
                return None
            place = await self._line()
            updates = [line async for line in self._until("", MOST_UPDATES)]
            options = [line async for line in self._until(".", MOST_OPTIONS)]
        except ValueError as error:
            raise Broken(f"a line is longer than {LONGEST_LINE} bytes") from error
        if name not in NAMES:
            raise Broken("it is no hook of ours that asks")
        self.is_settled = name == "post-receive"
        return Question(
            "pre-receive" if name == "pre-receive" else "post-receive",
            self._quarantine(place) if place else None,
            tuple(map(_update, updates)),
            tuple(options),
        )

    async def _until(self, end: str, most: int) -> AsyncIterator[str]:
        count = 0
        while (line := await self._line()) != end:
            count += 1
            if count > most:
                raise Broken(f"more than {most} at once")
            yield line

    async def _line(self) -> str:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise Broken("the hook ended in the middle of its question")
        return line[:-1].decode(errors="replace")

    def _quarantine(self, place: str) -> Path:
        path = Path(place)
        if path.parent != self._objects or not re.fullmatch(r"(?:tmp_objdir-)?incoming-\w+", path.name):
            raise Broken("the objects of this push lie elsewhere")
        return path

    def _write(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        said, self._unsaid = self._unsaid, ""
        self._writer.write(said.encode(errors="replace"))

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(TAKES_LINES_WITHIN):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise Broken("the pusher does not listen any more") from error


def _update(line: str) -> Update:
    found = _UPDATE.fullmatch(line)
    if found is None:
        raise Broken("that is no update of a ref")
    return Update(ObjectId(found[1]), ObjectId(found[2]), found[3])
