"""One JSON object per line over a Unix socket: how control talks to a zygote or a worker.

A peer that sends something else is cut off, and so is one that talks without end; it is a process that runs other
people's code.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

Message = dict[str, Any]
LONGEST = 1 << 20
AT_ONCE = 100
"""Lines that are read before somebody else has his turn: a buffer that is full gives none."""
MOST_SAID = 10_000
"""Short lines within a spell, a longer one counts as several: control may have been busy, and reads all that came."""
SPELL = 10.0
SHORT = 256


class Patience:
    """What a worker may say: far more than it has to, and less than would keep control busy."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_over = False
        self._clock = clock
        self._since = clock()
        self._left = MOST_SAID

    def takes(self, line: bytes) -> bool:
        now = self._clock()
        if now - self._since >= SPELL:
            self._since, self._left = now, MOST_SAID
        self._left -= 1 + len(line) // SHORT
        self.is_over = self._left < 0
        return not self.is_over


class Lines:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path) -> "Lines":
        return cls(*await asyncio.open_unix_connection(str(path), limit=LONGEST))

    def send(self, message: Message) -> None:
        """Hand a message to the transport. A peer that is gone shows up as the end of `messages`."""
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def messages(self, patience: Patience | None = None) -> AsyncIterator[Message]:
        for number in itertools.count(1):
            try:
                line = await self._reader.readline()
                if not line.endswith(b"\n") or (patience is not None and not patience.takes(line)):
                    return
                message = json.loads(line)
            except (OSError, ValueError):
                return
            if not isinstance(message, dict):
                return
            yield message
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def close(self) -> None:
        self._writer.close()
