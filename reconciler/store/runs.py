"""Jobs and their runs: a run is written down before it begins, once for each scheduled time, and kept afterwards.

How far a job's times are settled stands beside its runs and changes in the same transaction. A job that its service
has no more keeps its runs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, and_, bindparam, delete, func, select, update

from reconciler.model.names import ServiceName
from reconciler.model.run import UNDER_WAY, Cause, RunId, RunState
from reconciler.store.entries import Entries, changing, inserting
from reconciler.store.rows import JobRow, Page, RunRow
from reconciler.store.tables import Job as JobTable
from reconciler.store.tables import Run

RUNS_KEPT = 200
"""Per job. What happened before is forgotten, and never begun again either."""
_LOOKED_EVERY = 250
"""Runs after which all jobs are looked at for too many."""

_RUN = tuple(field.name for field in fields(RunRow))
_CHANGED = ("state", "release", "started_at", "finished_at", "message", "detail")

_INSERT_JOB = inserting(JobTable)
_INSERT = inserting(Run)
_CHANGE = changing(Run, Run.__table__.c.id)
_CHANGE_JOB = update(JobTable).where(JobTable.service == bindparam("of"), JobTable.name == bindparam("key"))
_SETTLE = _CHANGE_JOB.values(settled=bindparam("until"), missed=JobTable.missed + bindparam("more"))
_KNOWN = select(Run.id).where(Run.id.in_(bindparam("keys", expanding=True)))
_LAST = select(func.max(Run.number))


@dataclass(frozen=True, slots=True)
class Settled:
    """What a look at one job decided."""

    service: ServiceName
    job: str
    until: datetime
    missed: int
    runs: Sequence[RunRow]


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

    def settle_jobs(self, looks: Sequence[Settled]) -> frozenset[RunId]:
        """Write down what was decided about jobs. Which of the runs are new; the others were begun before."""
        told = [{"of": one.service, "key": one.job, "until": one.until, "more": one.missed} for one in looks]
        if told:
            self._connection.execute(_SETTLE, told)
        return self.begin_runs([run for one in looks for run in one.runs])

    def begin_runs(self, runs: Iterable[RunRow]) -> frozenset[RunId]:
        """The intents, before anything is done. What is not told back is known already, and must not be done."""
        wanted = {run.id: run for run in runs}
        known = frozenset(self._connection.execute(_KNOWN, {"keys": list(wanted)}).scalars()) if wanted else frozenset()
        new = [run for name, run in wanted.items() if name not in known]
        if new:
            self._connection.execute(_INSERT, [{name: getattr(run, name) for name in _RUN} for run in new])
            last = self._connection.execute(_LAST).scalar_one()
            if last // _LOOKED_EVERY != (last - len(new)) // _LOOKED_EVERY:
                self._forget_old()
        return frozenset(run.id for run in new)

    def change_runs(self, runs: Iterable[RunRow]) -> None:
        """How these stand now."""
        changes = [{"key": run.id, **{name: getattr(run, name) for name in _CHANGED}} for run in runs]
        if changes:
            self._connection.execute(_CHANGE, changes)

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
        self._connection.execute(_CHANGE_JOB, {"of": service, "key": name, **values})

    def _forget_old(self) -> None:
        """Of every job that has too many."""
        rank = func.row_number().over(partition_by=(Run.service, Run.job), order_by=Run.number.desc()).label("rank")
        ranked = select(Run.number, Run.service, Run.job, Run.scheduled_at, rank).where(Run.state.not_in(UNDER_WAY))
        old = ranked.subquery()
        newest = select(old.c.service, old.c.job, func.max(old.c.scheduled_at), func.max(old.c.number)).where(
            old.c.rank > RUNS_KEPT
        )
        for service, job, until, last in self._connection.execute(newest.group_by(old.c.service, old.c.job)).all():
            of = (Run.service == service, Run.job == job, Run.number <= last, Run.state.not_in(UNDER_WAY))
            self._connection.execute(delete(Run).where(*of))
            self._change_job(service, job, forgotten=until)


def _row(row: RowMapping) -> RunRow:
    facts = {name: value for name, value in row.items() if name != "number"}
    return RunRow(
        **facts | {"id": RunId(facts["id"]), "state": RunState(facts["state"]), "cause": Cause(facts["cause"])}
    )
