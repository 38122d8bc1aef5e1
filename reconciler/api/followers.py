"""Answers without an end: how many may be open, and for how long.

Whoever asked was known when the answer began. It ends with his token: before each piece he is looked at again.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import HTTPException, Request

from reconciler.api.access import recognised
from reconciler.api.platform import Keys
from reconciler.model.access import Caller

Records = AsyncGenerator[bytes, None]

MOST_FOLLOWERS = 64


class Followers:
    """Answers of one kind; each holds a connection, and some hold files."""

    def __init__(self, most: int = MOST_FOLLOWERS) -> None:
        self._most = most
        self.count = 0

    def admit(self, asked: Request, records: Records) -> Records:
        if self.count >= self._most:
            raise HTTPException(429, "too many answers without an end are open already", {"Retry-After": "5"})
        return self._counted(records, recognised(asked), asked.app.state.platform.keys)

    async def _counted(self, records: Records, caller: Caller, keys: Keys) -> Records:
        self.count += 1
        try:
            async with aclosing(records):
                async for piece in records:
                    if not keys.knows(caller):
                        return
                    yield piece
        finally:
            self.count -= 1
