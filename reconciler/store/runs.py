"""Jobs and their runs: a run is written down before it begins, once for each scheduled time, and kept afterwards.

How far a job's times are settled stands beside its runs and changes in the same transaction. A job that its service
has no more keeps its runs.
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import RowMapping, and_, bindparam, delete, func, select, update

from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.run import UNDER_WAY, Cause, RunId, RunState
from reconciler.store.entries import Entries, changing, inserting
from reconciler.store.rows import JobRow, Page, RunRow
from reconciler.store.tables import Job as JobTable
from reconciler.store.tables import Run

RUNS_KEPT = 200
"""Per job. What happened before is forgotten, and never begun again either."""
_SPARE = 20
"""So many more before they are pruned together."""

_INSERT_JOB = inserting(JobTable)
_INSERT = inserting(Run)
_CHANGE = changing(Run, Run.__table__.c.id)
_KNOWN = select(Run.number).where(Run.id == bindparam("key"))
_TOO_MANY = (
    select(Run.number)
    .where(Run.service == bindparam("of"), Run.job == bindparam("key"))
    .order_by(Run.number.desc())
    .limit(1)
    .offset(RUNS_KEPT + _SPARE)
)


class RunChange(TypedDict, total=False):
    """What may be written about a run; what is left out stays as it is."""

    state: RunState
    release: ReleaseId | None
    started_at: datetime | None
    finished_at: datetime | None
    message: str | None
    detail: str | None


class RunEntries(Entries):
    def follow_jobs(self, service: ServiceName, jobs: Iterable[JobRow], at: datetime) -> None:
        """These are a service's jobs from now on; those it had before and has no more are gone."""
        known = {row.name: row for row in self.jobs(service)}
        for job in jobs:
            if (before := known.pop(job.name, None)) is None:
                self._connection.execute(_INSERT_JOB, asdict(job))
            elif before != job:
                change = {name: value for name, value in asdict(job).items() if name not in ("service", "name")}
                self._change_job(service, job.name, **change)
        for name, row in known.items():
            if row.gone_at is None:
                self._change_job(service, name, gone_at=at)

    def settle_job(
        self, service: ServiceName, name: str, settled: datetime, missed: int, runs: Iterable[RunRow]
    ) -> tuple[RunId, ...]:
        """Write down what a look at a job decided. Which of the runs are new; the others were begun before."""
        self._change_job(service, name, settled=settled, missed=JobTable.missed + missed)
        return tuple(run.id for run in runs if self.begin_run(run))

    def begin_run(self, run: RunRow) -> bool:
        """The intent, before anything is done. False: this run is known already, and must not be done."""
        if self._connection.execute(_KNOWN, {"key": run.id}).scalar() is not None:
            return False
        self._connection.execute(_INSERT, asdict(run))
        self._forget_old(run.service, run.job)
        return True

    def change_run(self, run: RunId, **change: Unpack[RunChange]) -> None:
        self._connection.execute(_CHANGE, {"key": run, **change})

    def run(self, run: RunId) -> RunRow | None:
        row = self._connection.execute(select(Run.__table__).where(Run.id == run)).mappings().first()
        return None if row is None else _row(row)

    def runs(
        self, service: ServiceName, job: str | None = None, limit: int = 50, after: str | None = None
    ) -> Page[RunRow]:
        """The newest first: of one job, or of everything a service ever had."""
        of = [Run.service == service] + ([Run.job == job] if job is not None else [])
        total = self._connection.execute(select(func.count()).select_from(Run).where(*of)).scalar_one()
        query = select(Run.__table__).where(*of).order_by(Run.number.desc())
        if after is not None:
            query = query.where(Run.number < select(Run.number).where(Run.id == after).scalar_subquery())
        rows = [_row(row) for row in self._connection.execute(query.limit(limit + 1)).mappings()]
        return Page(tuple(rows[:limit]), total, rows[limit - 1].id if len(rows) > limit else None)

    def last_runs(self, each: int) -> tuple[RunRow, ...]:
        """The last few of every job, the oldest first."""
        rank = func.row_number().over(partition_by=(Run.service, Run.job), order_by=Run.number.desc())
        ranked = select(Run.number, rank.label("rank")).subquery()
        query = (
            select(Run.__table__)
            .join(ranked, and_(ranked.c.number == Run.number, ranked.c.rank <= each))
            .order_by(Run.number)
        )
        return tuple(_row(row) for row in self._connection.execute(query).mappings())

    def unfinished_runs(self) -> tuple[RunRow, ...]:
        """What was to be done or being done when the journal was last closed."""
        query = select(Run.__table__).where(Run.state.in_(UNDER_WAY)).order_by(Run.number)
        return tuple(_row(row) for row in self._connection.execute(query).mappings())

    def jobs(self, service: ServiceName | None = None) -> tuple[JobRow, ...]:
        query = select(JobTable.__table__).order_by(JobTable.service, JobTable.name)
        if service is not None:
            query = query.where(JobTable.service == service)
        return tuple(JobRow(**row) for row in self._connection.execute(query).mappings())

    def _change_job(self, service: ServiceName, name: str, **values: Any) -> None:
        self._connection.execute(
            update(JobTable).where(JobTable.service == service, JobTable.name == name).values(**values)
        )

    def _forget_old(self, service: ServiceName, job: str) -> None:
        of = (Run.service == service, Run.job == job)
        if self._connection.execute(_TOO_MANY, {"of": service, "key": job}).scalar() is None:
            return
        kept = select(Run.number).where(*of).order_by(Run.number.desc()).limit(RUNS_KEPT).subquery()
        last = select(func.min(kept.c.number)).scalar_subquery()
        old = (*of, Run.number < last, Run.state.not_in(UNDER_WAY))
        until = self._connection.execute(select(func.max(Run.scheduled_at)).where(*old)).scalar()
        self._connection.execute(delete(Run).where(*old))
        if until is not None:
            self._change_job(service, job, forgotten=until)


def _row(row: RowMapping) -> RunRow:
    facts = {name: value for name, value in row.items() if name != "number"}
    return RunRow(
        **facts | {"id": RunId(facts["id"]), "state": RunState(facts["state"]), "cause": Cause(facts["cause"])}
    )
