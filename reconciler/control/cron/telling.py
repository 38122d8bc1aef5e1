"""What is told of runs: those that went wrong are events of their service, the others only pass by."""

from dataclasses import dataclass
from typing import Any

from reconciler.control.account import Account
from reconciler.control.live import Live
from reconciler.model.job import Job
from reconciler.model.notice import Kind
from reconciler.model.run import Cause, RunState
from reconciler.model.timetable import MOST_COUNTED, Due
from reconciler.store.rows import RunRow

EVENTS = {
    RunState.FAILED: Kind.RUN_FAILED,
    RunState.TIMED_OUT: Kind.RUN_FAILED,
    RunState.INTERRUPTED: Kind.RUN_INTERRUPTED,
    RunState.UNKNOWN: Kind.RUN_UNKNOWN,
    RunState.SKIPPED: Kind.RUN_SKIPPED,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """The release that runs the jobs of one service, and where it is told what becomes of them."""

    live: Live
    account: Account


def tell_end(standing: Standing | None, run: RunRow, *, before: RunRow | None) -> None:
    if standing is None:
        return
    data: dict[str, Any] = {"run": run.id, "job": run.job, "state": run.state.value}
    message = f"{run.job} {run.state}: {run.message}"
    standing.account.passes(Kind.RUN_ENDED, message, data={**data, "late": _lateness(run)})
    # A job that hangs for a day skips each of its times: that is said once.
    is_repeated = run.state is RunState.SKIPPED and before is not None and before.state is RunState.SKIPPED
    if run.state in EVENTS and not is_repeated:
        standing.account.happened(EVENTS[run.state], message, run.release, data=data)


def _lateness(run: RunRow) -> float | None:
    """How long after its time it began; what a person asks for has none."""
    if run.started_at is None or run.cause is Cause.PERSON:
        return None
    return max(0.0, (run.started_at - run.scheduled_at).total_seconds())


def tell_missed(standing: Standing | None, job: Job, found: Due) -> None:
    if standing is None:
        return
    at_least = "at least " if found.missed + len(found.runs) >= MOST_COUNTED else ""
    times = "time was" if found.missed == 1 else "times were"
    made_good = f", {len(found.runs)} made good" if found.runs else ""
    message = f"{at_least}{found.missed} {times} missed by {job.name}{made_good}"
    standing.account.happened(Kind.RUNS_MISSED, message, data={"job": job.name, "missed": found.missed})
