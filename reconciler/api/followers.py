"""How many answers may be open without an end."""

from collections.abc import AsyncIterator

from fastapi import HTTPException

MOST_FOLLOWERS = 64


class Followers:
    """Answers of one kind; each holds a connection, and some hold files."""

    def __init__(self, most: int = MOST_FOLLOWERS) -> None:
        self._most = most
        self.count = 0

    def admit(self, records: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        if self.count >= self._most:
            raise HTTPException(429, "too many answers without an end are open already", {"Retry-After": "5"})
        return self._counted(records)

    async def _counted(self, records: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.count += 1
        try:
            async for piece in records:
                yield piece
        finally:
            self.count -= 1
