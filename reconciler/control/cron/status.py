"""Jobs and runs as everybody is told them."""

from datetime import datetime

from reconciler.control.cron.duty import Duty
from reconciler.model.status import JobStatus, RunStatus
from reconciler.store.rows import RunRow


def job_status(duty: Duty, next_at: datetime | None) -> JobStatus:
    job, last = duty.job, duty.last
    return JobStatus(
        name=job.name,
        schedule=job.schedule,
        timezone=job.timezone,
        does=job.does,
        next=next_at,
        running=run_status(duty.running) if duty.running is not None else None,
        waiting=len(duty.waiting),
        last=run_status(last[-1]) if last else None,
        outcomes=tuple(run.state.value for run in last),
        missed=duty.missed,
    )


def run_status(run: RunRow) -> RunStatus:
    late = (run.started_at - run.scheduled_at).total_seconds() if run.started_at is not None else None
    return RunStatus(
        id=run.id,
        job=run.job,
        cause=run.cause.value,
        actor=run.actor,
        state=run.state.value,
        release=run.release,
        scheduled_at=run.scheduled_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        late=late if late is None else round(late, 3),
        message=run.message,
        detail=run.detail,
    )
