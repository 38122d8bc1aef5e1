"""Where runs stand, written down a few at a time.

What changes within the same instant shares a transaction: five hundred runs that end in one second must not keep the
writes of a release waiting. What cannot be written down now is kept and tried again, so that a full disk costs no
outcome. Refuses to write intents: those are durable before anything is done, each by whoever has it.
"""

import asyncio
import logging
from functools import partial

from reconciler.model.run import RunId
from reconciler.store.insisting import insist
from reconciler.store.journal import Journal, Transaction
from reconciler.store.rows import RunRow

log = logging.getLogger(__name__)

GATHERS = 0.02
CLOSES_WITHIN = 2.0
Rows = dict[RunId, RunRow]


class Book:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: Rows = {}
        self._writing: asyncio.Task[None] | None = None
        self._written: asyncio.Future[None] | None = None

    def note(self, run: RunRow) -> "asyncio.Future[None]":
        """How a run stands now; the future is done when that is durable."""
        self._rows[run.id] = run
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return self._written

    async def close(self) -> None:
        """Nothing more is noted: wait for what is still being written, if it can be."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=CLOSES_WITHIN)
            self._writing.cancel()

    async def _write(self) -> None:
        while self._rows:
            await asyncio.sleep(GATHERS)
            rows, written = self._rows, self._written
            self._rows, self._written = {}, None
            await self._persist(rows)
            if written is not None and not written.done():
                written.set_result(None)

    async def _persist(self, rows: Rows) -> None:
        stand = partial(_stand, rows=tuple(rows.values()))
        await insist(lambda: self._journal.write(stand), "what became of runs has to wait", runs=len(rows))


def _stand(entries: Transaction, *, rows: tuple[RunRow, ...]) -> None:
    entries.change_runs(rows)
