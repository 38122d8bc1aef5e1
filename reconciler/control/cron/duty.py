"""One job of a live release, and how it stands: what is settled, what runs, what waits, what was last."""

from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.model.job import Job
from reconciler.model.run import Cause, RunState, run_id
from reconciler.store.rows import JobRow, RunRow

OUTCOMES_KEPT = 5
STILL_GOING = "the run before was still going"


@dataclass(slots=True, eq=False)
class Duty:
    job: Job
    settled: datetime
    forgotten: datetime | None = None
    missed: int = 0
    running: RunRow | None = None
    waiting: tuple[RunRow, ...] = ()
    last: tuple[RunRow, ...] = ()
    """The newest last."""

    def row(self) -> JobRow:
        return JobRow(
            service=self.job.service,
            name=self.job.name,
            times=self.job.times,
            settled=self.settled,
            forgotten=self.forgotten,
            missed=self.missed,
            gone_at=None,
        )

    def begins(self, now: datetime) -> datetime:
        """From where to look. A clock that was set back may bring times again; those that ran are known by name."""
        if now >= self.settled:
            return self.settled
        return max(now, self.forgotten) if self.forgotten is not None else now

    def reserve(
        self, at: datetime, cause: Cause, now: datetime, *, together: bool = False, actor: str | None = None
    ) -> RunRow:
        """Give a run its place: now, behind others, or none. Nobody else can have that place from here on."""
        run = RunRow(
            id=run_id(self.job.service, self.job.name, at),
            service=self.job.service,
            job=self.job.name,
            cause=cause,
            actor=actor,
            scheduled_at=at,
            state=RunState.INTENDED,
            release=None,
            began_at=now,
        )
        if self.running is None and not self.waiting:
            self.running = run
        elif together or (self.job.overlap == "queue" and not self.waiting):
            run = replace(run, state=RunState.QUEUED)
            self.waiting += (run,)
        else:
            run = replace(run, state=RunState.SKIPPED, finished_at=now, message=STILL_GOING)
        return run

    def give_up(self, run: RunRow) -> None:
        """It was done before, or could not be written down: its place is free again."""
        if self.running is run:
            self.running = None
        self.waiting = tuple(one for one in self.waiting if one is not run)

    def next_waiting(self) -> RunRow | None:
        if self.running is not None or not self.waiting:
            return None
        self.running, *others = self.waiting
        self.waiting = tuple(others)
        return self.running

    def remember(self, run: RunRow) -> None:
        self.last = (*self.last, run)[-OUTCOMES_KEPT:]
