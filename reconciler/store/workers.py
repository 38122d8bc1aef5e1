"""Workers: which processes may be running, so that a control plane that returns finds them again."""

from datetime import datetime

from sqlalchemy import RowMapping, bindparam, delete, func, select

from reconciler.model.names import ReleaseId, WorkerId
from reconciler.store.entries import Entries, changing, inserting
from reconciler.store.rows import WorkerRow
from reconciler.store.tables import Worker

GONE_KEPT = 50
"""Per release; a crash loop must not fill the journal."""

_INSERT = inserting(Worker)
_CHANGE = changing(Worker, Worker.__table__.c.id)
_FORGET_OLD = delete(Worker).where(
    Worker.release == bindparam("of"), Worker.number <= bindparam("last"), Worker.gone_at.is_not(None)
)


class WorkerEntries(Entries):
    def begin_worker(self, worker: WorkerId, release: ReleaseId, socket: str, private: str, at: datetime) -> None:
        number = int(worker.rpartition(".")[2])
        values = {"id": worker, "release": release, "number": number, "socket": socket, "private": private}
        self._connection.execute(_INSERT, {**values, "began_at": at})

    def worker_started(self, worker: WorkerId, pid: int, started: str) -> None:
        self._change_worker(worker, pid=pid, started=started)

    def worker_gone(self, worker: WorkerId, status: int | None, at: datetime) -> None:
        """The process is over; `status` as the kernel told it, when it did. Saying it twice does no harm."""
        self._change_worker(worker, status=status, gone_at=at)
        release, _, number = worker.rpartition(".")
        if int(number) > GONE_KEPT:
            self._connection.execute(_FORGET_OLD, {"of": release, "last": int(number) - GONE_KEPT})

    def workers(self) -> tuple[WorkerRow, ...]:
        """Those not known to be gone."""
        query = select(Worker.__table__).where(Worker.gone_at.is_(None)).order_by(Worker.release, Worker.number)
        return tuple(_row(row) for row in self._connection.execute(query).mappings())

    def workers_begun(self, release: ReleaseId) -> int:
        """The highest number a worker of this release ever had."""
        return self._connection.execute(select(func.max(Worker.number)).where(Worker.release == release)).scalar() or 0

    def _change_worker(self, worker: WorkerId, **values: object) -> None:
        self._connection.execute(_CHANGE, {"key": worker, **values})


def _row(row: RowMapping) -> WorkerRow:
    return WorkerRow(**{name: value for name, value in row.items() if name != "number"})
