"""Releases on their way out: they finish what they began, and keep their folders and environments for as long."""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

from reconciler.control.live import Live
from reconciler.control.traffic import Traffic
from reconciler.model.names import EnvironmentId, ReleaseId
from reconciler.store.journal import Journal, Transaction
from reconciler.store.rows import Phase
from reconciler.worker.crew import Crew
from reconciler.worker.worker import Worker

log = logging.getLogger(__name__)


class Departures:
    def __init__(self, journal: Journal, traffic: Traffic) -> None:
        self._journal = journal
        self._traffic = traffic
        self._leaving: dict[ReleaseId, EnvironmentId] = {}
        self._drains: set[asyncio.Task[None]] = set()

    @property
    def releases(self) -> set[ReleaseId]:
        return set(self._leaving)

    @property
    def environments(self) -> set[EnvironmentId]:
        return set(self._leaving.values())

    def begin(self, live: Live) -> None:
        """Its workers are told at once."""
        ignore(live.crew)
        self._leaving[live.release] = live.environment
        task = asyncio.create_task(self._drain(live, live.crew.retire()))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    async def settle(self) -> None:
        """Wait until everybody who was to go has gone."""
        while self._drains:
            await asyncio.wait(self._drains)

    async def _drain(self, live: Live, retired: Coroutine[Any, Any, list[Worker]]) -> None:
        try:
            workers = await retired
        finally:
            self._leaving.pop(live.release, None)
        self._traffic.drained(workers)
        self._journal.later(partial(_write_retired, release=live.release, at=datetime.now(UTC)))
        for worker in workers:
            if worker.cut.total:
                about = {"service": live.recipe.service, "release": live.release, "worker": worker.id}
                log.warning("the drain cut what was not finished", extra={**about, "cut": str(worker.cut)})


def ignore(crew: Crew) -> None:
    """What becomes of its workers is nobody's concern any more."""
    crew.on_change = crew.on_trouble = lambda _crew: None
    crew.processes.on_crash_loop = lambda _process: None


def _write_retired(entries: Transaction, *, release: ReleaseId, at: datetime) -> None:
    row = entries.release(release)
    if row is not None and row.phase is Phase.DRAINING:
        entries.advance(release, Phase.RETIRED, at)
