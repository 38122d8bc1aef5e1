"""The status of one service and of the platform, as everybody is told it.

These are the response models of the API, the input of the terminal and of the dashboard. They hold
explicit fields only, so that nothing leaks by default.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

ConditionType = Literal["Ready", "Syncing", "Stalled", "Asleep", "Suspended", "RolledBack"]
WorkerState = Literal["starting", "ready", "draining", "asleep", "stopped", "backoff", "failed"]


class Told(BaseModel):
    # What has a default is told all the same: whoever reads it may count on every field.
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


class Condition(Told):
    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    since: datetime
    file: str | None = None
    line: int | None = None


class ProblemStatus(Told):
    message: str
    code: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None
    expected: str | None = None
    remedy: str | None = None


class CommitStatus(Told):
    sha: str
    author: str
    subject: str
    at: datetime | None
    """When it was committed, as the committer's clock had it."""


class PhaseTime(Told):
    name: str
    service: str | None = None
    started_at: datetime
    seconds: float


class ReleaseStatus(Told):
    id: str
    digest: str
    revision: str
    commit: CommitStatus | None = None
    phase: str
    reason: str | None = None
    message: str | None = None
    verdict: Literal["passed", "failed", "inconclusive"] | None = None
    sync: str | None = None
    environment: str | None = None
    phases: tuple[PhaseTime, ...] = ()
    """How long each step of its way took."""
    created_at: datetime
    live_at: datetime | None = None
    retired_at: datetime | None = None


class ReleaseDetail(ReleaseStatus):
    """One release with everything that is known of it."""

    packages: dict[str, str]
    routes_at: str | None
    """Where it answers, or answered, on the services port."""
    problems: tuple[ProblemStatus, ...] = ()
    detail: str | None = None


class PackageStatus(Told):
    name: str
    old: str | None
    new: str | None


class Comparison(Told):
    """What differs between two releases of a service."""

    before: ReleaseStatus
    after: ReleaseStatus
    moved: tuple[str, ...]
    """Which parts of the digest: code, shared, environment, configuration, secrets."""
    packages: tuple[PackageStatus, ...]


class DeliveryStatus(Told):
    """How often, how fast and how safely a service is released, over its last releases."""

    since: datetime | None
    """The oldest release that counts."""
    attempts: int
    deploys: int
    lead_time: float | None
    """From commit to live, in seconds; the median."""
    failure_share: float | None
    time_to_restore: float | None
    """From a failure to the next release that is good, in seconds; the median."""


class WorkerStatus(Told):
    id: str
    release: str
    pid: int | None
    state: WorkerState
    started_at: datetime | None = None
    restarts: int = 0


class EnvironmentStatus(Told):
    id: str
    packages: dict[str, str]


class EventStatus(Told):
    id: int
    at: datetime
    kind: str
    service: str | None
    release: str | None
    sync: str | None = None
    revision: str | None = None
    message: str
    data: dict[str, Any] = {}
    """What programs want to know beside the message; which names it has depends on the kind."""


class SuiteStatus(Told):
    """What the suite concluded last, in short; in full at `/v1/services/{name}/suite`."""

    verdict: Literal["passed", "failed", "inconclusive"]
    summary: str
    flaky: bool
    release: str
    """The one that was asked: live, or a candidate that was thrown away for it."""


class WebhookStatus(Told):
    """A webhook that was genuine, and what became of it."""

    id: str | None
    """The receipt; none for a ping."""
    provider: str
    event: str
    delivery: str
    """The sender's own number for it."""
    state: Literal["accepted", "ignored", "pong"]
    reason: str
    received_at: datetime
    repeats: int = 0
    """How often the same one came again."""
    repeated_at: datetime | None = None
    sync: str | None = None
    """The sync that it asked for, once there is one."""


class ActionTaken(Told):
    """What became of somebody's wish about one service."""

    service: str
    action: Literal["rollback", "suspend", "resume", "restart"]
    changed: bool
    """False when it was so already."""
    message: str
    release: str | None
    """The one that is live now."""


class RunStatus(Told):
    """One run of a cron job."""

    id: str
    """Also the id of its request, so that `logs --request` finds what it said."""
    job: str
    cause: Literal["schedule", "catch-up", "person"]
    actor: str | None
    state: Literal["queued", "intended", "running", "done", "failed", "timed-out", "interrupted", "unknown", "skipped"]
    release: str | None
    scheduled_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    late: float | None
    """Seconds from its scheduled time to its start."""
    message: str | None
    detail: str | None = None
    """A traceback, or the beginning of a bad answer."""


class JobStatus(Told):
    """A cron job, and how it stands."""

    name: str
    schedule: str
    timezone: str
    does: str
    """`POST /jobs/nightly`, or `call jobs:prune`."""
    next: datetime | None
    """When it starts next, its jitter included."""
    running: RunStatus | None
    waiting: int
    """Runs that wait for the one that runs."""
    last: RunStatus | None
    outcomes: tuple[str, ...]
    """The states of its last runs, the newest last."""
    missed: int
    """Times that passed while nobody looked, and that were not made good."""


class ProcessStatus(Told):
    """A further command of the live release."""

    name: str
    command: str
    state: WorkerState
    pid: int | None
    started_at: datetime | None
    restarts: int
    last_exit: str | None = None


class TrafficStatus(Told):
    """What its workers answered of late: over the last five minutes, and the half hour minute by minute."""

    requests_per_second: float
    error_share: float | None
    """Of answers with a status of 500 and more, from 0 to 1; null where nobody asked, as the next two are."""
    latency_p50: float | None
    """Seconds in which half of the requests were answered, guessed from classes of durations."""
    latency_p95: float | None
    connections: int
    """That workers hold now."""
    in_flight: int
    requests_by_minute: tuple[int, ...]
    """Thirty, the oldest first; the last is the minute under way. Empty when there was none in any of them."""
    errors_by_minute: tuple[int, ...]


QUIET = TrafficStatus(
    requests_per_second=0.0,
    error_share=None,
    latency_p50=None,
    latency_p95=None,
    connections=0,
    in_flight=0,
    requests_by_minute=(),
    errors_by_minute=(),
)
"""Nobody asked for half an hour."""


@dataclass(frozen=True, slots=True)
class Outline:
    """As much of a service as it takes to find it among many."""

    name: str
    description: str | None
    conditions: tuple[Condition, ...]


class ServiceStatus(Told):
    name: str
    description: str | None = None
    path: str
    """Where it answers on the services port: `/api/tasks/`."""
    conditions: tuple[Condition, ...]
    live: ReleaseStatus | None
    candidate: str | None
    """The release that is being tried."""
    revision_attempted: str | None
    revision_applied: str | None
    revision_changed: str | None
    """The revision that last changed this service."""
    environment: EnvironmentStatus | None
    workers: tuple[WorkerStatus, ...]
    traffic: TrafficStatus = QUIET
    processes: tuple[ProcessStatus, ...] = ()
    cron: tuple[JobStatus, ...] = ()
    suite: SuiteStatus | None = None
    problems: tuple[ProblemStatus, ...] = ()
    detail: str | None = None
    """Output that explains a failure: a traceback, the resolver's words. Cut and redacted."""
    events: tuple[EventStatus, ...] = ()


class ActionStatus(Told):
    service: str
    verb: Literal["start", "replace", "remove", "keep", "hold"]
    why: str
    outcome: Literal["pending", "done", "failed", "superseded"]
    reason: str | None = None
    message: str | None = None


class SyncStatus(Told):
    id: str
    trigger: str
    revision: str | None
    commit: CommitStatus | None = None
    state: Literal["waiting", "running", "done", "failed", "superseded"]
    requested_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    message: str | None = None
    actions: tuple[ActionStatus, ...] = ()
    """Without those that keep: thousands of unchanged services are a count, not a list."""
    kept: int = 0
    phases: tuple[PhaseTime, ...] = ()


class SourceStatus(Told):
    url: str
    branch: str
    condition: Condition


class DestinationStatus(Told):
    """Somebody who is told of every change in the journal: a database, a Supabase project."""

    name: Literal["database", "supabase"]
    place: str
    waiting: int
    """Changes that it has not got, as counted when there was trouble last."""
    trouble: str | None
    since: datetime | None
    """Since when there is trouble."""


class PlatformStatus(Told):
    version: str
    python: str
    source: SourceStatus
    revision_attempted: str | None
    revision_applied: str | None
    services: int
    counts: dict[str, int]
    """How many services have each condition."""
    last_sync: SyncStatus | None
    destinations: tuple[DestinationStatus, ...] = ()
    ready: bool
    started_at: datetime
