"""How often to look at the repository by ourselves while webhooks say sooner when it moved.

As long as webhooks come and the poll finds nothing that none of them announced, it looks less often. A single
unannounced commit, or a day without a webhook, brings the usual interval back: polling is what must not be lost.
"""

import asyncio
import time
from collections.abc import Callable

SLOWER = 10.0
LONGEST = 600.0
"""Slower, but not beyond ten minutes; a longer interval of the operator's stays what it is."""
TRUSTED_FOR = 24 * 3600.0
ON_ITS_WAY = 60.0
"""What a webhook announced this lately may not be fetched yet."""
GATHERED_FOR = 1.0
"""Who asks for a look gets it after so long, together with all who ask meanwhile."""


class Pace:
    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._usual = interval
        self._clock = clock
        self._heard: float | None = None
        self._asked = asyncio.Event()

    @property
    def interval(self) -> float:
        if self._heard is None or self._clock() - self._heard > TRUSTED_FOR:
            return self._usual
        return max(self._usual, min(SLOWER * self._usual, LONGEST))

    def heard(self) -> None:
        """A webhook said that the branch moved."""
        self._heard = self._clock()

    def surprised(self) -> None:
        """The poll found a commit by itself."""
        if self._heard is not None and self._clock() - self._heard > ON_ITS_WAY:
            self._heard = None

    def look_soon(self) -> None:
        """Somebody thinks that it may have moved, and is not sure."""
        self._asked.set()

    async def wait(self, seconds: float, *, patient: bool) -> None:
        """Until it is time, or somebody asks. Patient: in trouble, when nobody's asking makes it come sooner."""
        due = self._clock() + seconds
        if patient:
            await asyncio.sleep(seconds)
        elif await self._was_asked(within=seconds):
            await asyncio.sleep(max(0.0, min(GATHERED_FOR, due - self._clock())))
        self._asked.clear()

    async def _was_asked(self, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                return await self._asked.wait()
        except TimeoutError:
            return False
