"""What the journal tells: frozen values, made from rows and free of the database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from reconciler.model.access import Scope
from reconciler.model.digest import Ingredients
from reconciler.model.failure import Reason
from reconciler.model.names import Digest, EnvironmentId, ReleaseId, ServiceName, SyncId, WorkerId
from reconciler.model.problem import Problem
from reconciler.model.run import Cause, RunId, RunState

Item = TypeVar("Item")

SyncState = Literal["waiting", "running", "done", "failed", "superseded"]


class Phase(StrEnum):
    """How far a release has come; in this order, and never back."""

    PLANNED = "planned"
    MATERIALISED = "materialised"
    INSTALLED = "installed"
    STARTED = "started"
    TESTED = "tested"
    SWITCHING = "switching"
    LIVE = "live"
    DRAINING = "draining"
    RETIRED = "retired"
    FAILED = "failed"


FINISHED = (Phase.RETIRED, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    items: tuple[Item, ...]
    total: int
    next: str | None
    """What to pass as `after` for the page that follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRow:
    id: SyncId
    trigger: str
    revision: str | None
    state: SyncState
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    message: str | None
    actions: tuple[Mapping[str, Any], ...]
    kept: int
    phases: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow:
    id: ReleaseId
    service: ServiceName
    number: int
    digest: Digest
    ingredients: Ingredients
    revision: str
    sync: SyncId | None
    config: Mapping[str, Any]
    """The effective manifest, enough to start the release again without git."""
    environment: EnvironmentId | None
    folder: str | None
    prefix: str | None
    facts: Mapping[str, Any]
    """Whatever else was learnt on the way: resolved packages, the verdict."""
    phase: Phase
    phase_at: datetime
    reason: Reason | None
    message: str | None
    problems: tuple[Problem, ...]
    detail: str | None
    created_at: datetime
    live_at: datetime | None
    retired_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    name: ServiceName
    live: ReleaseId | None
    parked: ReleaseId | None
    """The release before, ready to have the traffic back until `watched_until`."""
    watched_until: datetime | None
    suspended: str | None
    """Who suspended it and why; None when it is not suspended."""
    held: str | None
    held_digest: Digest | None
    attempted: str | None
    applied: str | None
    changed: str | None
    conditions: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedDigestRow:
    service: ServiceName
    digest: Digest
    release: ReleaseId
    reason: Reason
    message: str
    problems: tuple[Problem, ...]
    detail: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    id: WorkerId
    release: ReleaseId
    socket: str
    private: str
    pid: int | None
    started: str | None
    """The start time the kernel gave, so that a reused process id is not taken for the worker."""
    began_at: datetime
    gone_at: datetime | None
    status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    service: ServiceName
    name: str
    times: str
    settled: datetime
    """Its scheduled times until then need no look any more."""
    forgotten: datetime | None
    missed: int
    gone_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    id: RunId
    service: ServiceName
    job: str
    cause: Cause
    actor: str | None
    scheduled_at: datetime
    state: RunState
    release: ReleaseId | None
    began_at: datetime
    """When it was decided and written down."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    message: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    id: int
    at: datetime
    kind: str
    service: ServiceName | None
    release: ReleaseId | None
    sync: SyncId | None
    revision: str | None
    message: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    id: str
    hash: str = field(repr=False)
    name: str
    kind: Literal["token", "session"]
    scopes: frozenset[Scope]
    services: frozenset[ServiceName] | None
    parent: str | None
    """With which token it was made: it goes when that one goes."""
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    id: int
    at: datetime
    actor: str
    token: str | None
    action: str
    service: str | None
    address: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRow:
    sha: str
    author: str
    subject: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    id: int
    identity: str
    provider: str
    delivery: str
    """The sender's own number for it."""
    event: str
    state: str
    reason: str
    received_at: datetime
    repeats: int
    """How often it came again."""
    repeated_at: datetime | None
    sync: SyncId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    attempted: str | None
    applied: str | None
    at: datetime | None
