"""What is still to be said to the forge, and the one that says it.

Each word has a key; a newer one takes the place of an older one that was not said yet, so that a forge that was away
for an hour hears how things stand, and not how they came to be. Bounded: where too much waits, the oldest is dropped.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from reconciler.forge.http import NotNow, Refused
from reconciler.model.statement import Word

log = logging.getLogger(__name__)

MOST_WAITING = 5_000
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
LOCKED_OUT = 600.0
"""How long a forge that does not know our credentials is left alone."""


class Speaker(Protocol):
    async def say(self, word: Word) -> None:
        """Raises `Refused` or `NotNow`. Saying the same twice is saying it once."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How it goes with the forge."""

    waiting: int
    trouble: str | None
    """What it said last, unless all is well again."""


class Outbox:
    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._waiting: OrderedDict[tuple[str, ...], Word] = OrderedDict()
        self._something = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._trouble: str | None = None
        self.dropped = 0
        """Words that had to give way to newer ones."""

    @property
    def standing(self) -> Standing:
        return Standing(len(self._waiting), self._trouble)

    def put(self, words: Iterable[Word]) -> None:
        for word in words:
            key = (type(word).__name__, *word.key)
            # It keeps its turn: who is pending and then done at once is told of once.
            self._waiting[key] = word
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popitem(last=False)
            self.dropped += 1
        if self._waiting:
            self._idle.clear()
            self._something.set()

    async def said(self) -> None:
        """Wait until nothing is left to say."""
        await self._idle.wait()

    async def run(self) -> None:
        """Say everything, one after another, for ever."""
        pause = FIRST_PAUSE
        while True:
            await self._something.wait()
            while self._waiting:
                key, word = next(iter(self._waiting.items()))
                try:
                    await self._speaker.say(word)
                except NotNow as trouble:
                    self._complain(str(trouble))
                    # It may be this word alone that the forge cannot bear: the others go first.
                    self._waiting.move_to_end(key)
                    await asyncio.sleep(max(trouble.after or 0.0, _jittered(pause)))
                    pause = min(pause * 2, LONGEST_PAUSE)
                    continue
                except Refused as refused:
                    await self._put_up_with(refused)
                    if refused.status == 401:
                        continue
                except Exception:
                    log.exception("a bug kept the forge from being told something")
                else:
                    pause, self._trouble = FIRST_PAUSE, None
                # A newer word may have come meanwhile: that one is still to be said.
                if self._waiting.get(key) is word:
                    del self._waiting[key]
            self._something.clear()
            self._idle.set()

    async def _put_up_with(self, refused: Refused) -> None:
        self._complain(f"the forge refused what it was told: {refused}")
        if refused.status == 401:
            await asyncio.sleep(LOCKED_OUT)

    def _complain(self, message: str) -> None:
        """Once, until something else goes wrong."""
        if message != self._trouble:
            log.warning(message)
        self._trouble = message


def _jittered(pause: float) -> float:
    return pause * random.uniform(0.8, 1.2)  # noqa: S311
