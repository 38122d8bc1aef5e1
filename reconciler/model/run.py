"""One run of a job, and how it came to its end.

    queued ── intended ── running ── done
       └── skipped          ├── failed, timed-out
                            ├── interrupted     its release or the platform had to go
                            └── unknown         control ended first: it may have been done, and is not tried again

A run's name is a function of its job and its scheduled time, and unique in the journal: that is what keeps a time from
being run twice, whatever clocks, restarts and releases do.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NewType

from reconciler.model.names import ServiceName

RunId = NewType("RunId", str)
LONGEST_NAME: Final = 100
"""A run's name is a request's id, too, and those have room for 128 characters."""


class RunState(StrEnum):
    QUEUED = "queued"
    INTENDED = "intended"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"

    @property
    def is_over(self) -> bool:
        return self not in UNDER_WAY

    @property
    def is_good(self) -> bool:
        return self is RunState.DONE


UNDER_WAY: Final = (RunState.QUEUED, RunState.INTENDED, RunState.RUNNING)


class Cause(StrEnum):
    """Why a run began."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch-up"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Outcome:
    state: RunState
    message: str
    """One sentence for people."""
    detail: str | None = None
    """A traceback, or the beginning of an answer."""


def run_id(service: ServiceName, job: str, scheduled: datetime) -> RunId:
    name = f"{service}.{job}"
    if len(name) > LONGEST_NAME:
        name = f"{name[:80]}.{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    at = scheduled.astimezone(UTC)
    # A schedule has minutes; only what people ask for comes between them.
    form = "%Y%m%dT%H%MZ" if not (at.second or at.microsecond) else "%Y%m%dT%H%M%S.%fZ"
    return RunId(f"{name}.{at.strftime(form)}")
