"""One JSON object per line over a Unix socket: how control talks to a zygote or a worker.

A peer that sends something else is cut off, and so is one that talks without end; it is a process that runs other
people's code. What it said before it went is heard, whatever was being said to it: why it failed is among that.
"""

import asyncio
import contextlib
import itertools
import json
import socket
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
LAST_READS = 16
"""Of so many pieces at most, when a line has broken: a socket holds no more, and a peer may go on."""
PIECE = 64 * 1024


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


class _Ear(asyncio.StreamReaderProtocol):
    """Asyncio lets go of a socket that cannot be written to, with all that could still be read from it."""

    def __init__(self, reader: asyncio.StreamReader, end: socket.socket) -> None:
        super().__init__(reader)
        self._heard = reader
        self._end = end

    def connection_lost(self, exc: Exception | None) -> None:
        # Only after this is the socket closed.
        with contextlib.suppress(OSError):
            for _ in range(LAST_READS):
                if not (piece := self._end.recv(PIECE)):
                    break
                self._heard.feed_data(piece)
        # Not with the error, which would hide what is waiting to be read.
        super().connection_lost(None)


class Lines:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path) -> "Lines":
        loop = asyncio.get_running_loop()
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end.setblocking(False)
        try:
            await loop.sock_connect(end, str(path))
        except BaseException:
            end.close()
            raise
        reader = asyncio.StreamReader(limit=LONGEST)
        ear = _Ear(reader, end)
        transport, _ = await loop.create_unix_connection(lambda: ear, sock=end)
        return cls(reader, asyncio.StreamWriter(transport, ear, reader, loop))

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
