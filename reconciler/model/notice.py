"""What happened, or is being done, told once to whoever listens: dashboards, forges, whoever pushed.

An event happened and is kept; progress only passes by. Both are plain data, so that every listener can say it
in its own way. Holds nothing that may not be shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from reconciler.model.names import ReleaseId, ServiceName, SyncId


class Kind(StrEnum):
    # Of the platform, kept
    HISTORY_REWRITTEN = "HistoryRewritten"
    SECRET_SET = "SecretSet"  # noqa: S105 - what happened, not a secret
    """Data: `secret`, its name; and `version`."""
    SECRET_REMOVED = "SecretRemoved"  # noqa: S105
    SECRETS_KEY_CHANGED = "SecretsKeyChanged"
    SYNC_STARTED = "SyncStarted"
    SYNC_PLANNED = "SyncPlanned"
    """Data: `actions`, each with service, verb and why, without those that keep; and `kept`."""
    SYNC_FINISHED = "SyncFinished"
    """Data: `state`, `seconds`, the seconds of its `phases`, and the counts `done`, `failed`, `superseded`."""

    # Of one service, kept
    RELEASE_SWITCHED = "ReleaseSwitched"
    RELEASE_FAILED = "ReleaseFailed"
    ROLLED_BACK = "RolledBack"
    """Data: `from` and `to`, each with release and revision."""
    SMOKE_FAILED = "SmokeFailed"
    CRASH_LOOPED = "CrashLooped"
    SERVICE_HELD = "ServiceHeld"
    """Git asks for what cannot be followed: a manifest is wrong, or it failed before. Data: `reason`."""
    SERVICE_RECOVERED = "ServiceRecovered"
    """Git asks for what serves again, after it asked for something that failed."""
    SERVICE_REMOVED = "ServiceRemoved"
    SERVICE_SUSPENDED = "ServiceSuspended"
    SERVICE_RESUMED = "ServiceResumed"
    WORKERS_RESTARTED = "WorkersRestarted"
    RUN_FAILED = "RunFailed"
    """A run of a cron job failed, or took too long. Data, as of the next three: `run`, `job`, `state`."""
    RUN_INTERRUPTED = "RunInterrupted"
    RUN_UNKNOWN = "RunUnknown"
    RUN_SKIPPED = "RunSkipped"
    """The first in a row."""
    RUNS_MISSED = "RunsMissed"
    """Times of a job passed while nobody looked. Data: `job`, `missed`."""

    # Of one service, passing by
    PHASE_BEGAN = "PhaseBegan"
    """The message is the phase: preparing, starting, playing its suite, waiting for another."""
    SUITE_PLAYED = "SuitePlayed"
    """Data: `verdict`, `cases`, `seconds`."""
    RUN_ENDED = "RunEnded"
    """Any run of a cron job, the good ones too. Data: `run`, `job`, `state`; `late`, in seconds, when it was due."""
    ACTION_FINISHED = "ActionFinished"
    """What one sync asked of one service has come to its end. Data: `verb`, `outcome`, `reason`, `message`, `path`, and
    the seconds of its `phases`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    kind: Kind
    at: datetime
    message: str
    id: int | None = None
    """Its number among the events; None for what only passes by, or could not be written down."""
    service: ServiceName | None = None
    release: ReleaseId | None = None
    sync: SyncId | None = None
    revision: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
