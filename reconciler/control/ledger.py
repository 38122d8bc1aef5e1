"""The journal's page about worker processes: what a crew writes before and after each fork."""

from datetime import UTC, datetime

from reconciler.model.names import WorkerId
from reconciler.store.journal import Journal
from reconciler.worker.exit import Exit
from reconciler.worker.forked import Forked
from reconciler.worker.spec import ReleaseSpec, WorkerSockets


class Ledger:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def intend(self, worker: WorkerId, spec: ReleaseSpec, sockets: WorkerSockets, at: datetime) -> None:
        """Before the fork: a worker whose control dies now can still be found by its socket."""
        await self._journal.begin_worker(worker, spec.release, str(sockets.control), str(sockets.private), at)

    def forked(self, worker: WorkerId, process: Forked) -> None:
        self._journal.later(lambda entries: entries.worker_started(worker, process.pid, process.started))

    def gone(self, worker: WorkerId, end: Exit) -> None:
        at = datetime.now(UTC)
        self._journal.later(lambda entries: entries.worker_gone(worker, end.status, at))
