"""One JSON object per line over a Unix socket: how control talks to a zygote or a worker.

A peer that sends something else is cut off; it is a process that runs other people's code.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

Message = dict[str, Any]
LONGEST = 1 << 20


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

    async def messages(self) -> AsyncIterator[Message]:
        while True:
            try:
                line = await self._reader.readline()
                if not line.endswith(b"\n"):
                    return
                message = json.loads(line)
            except (OSError, ValueError):
                return
            if not isinstance(message, dict):
                return
            yield message

    def close(self) -> None:
        self._writer.close()
