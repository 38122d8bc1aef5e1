"""How something that could not be done says what should happen next.

The place that fails knows best, so it chooses: `Wait` (the world may mend itself, try again later) or
`Stalled` (only a new commit or a person can help). Anything else that is raised is a bug of ours. One
place, at the edge of one service, turns these into conditions, events and the next run.
"""

from enum import StrEnum

from reconciler.model.problem import Problem


class Reason(StrEnum):
    """Why a condition is what it is; the values are part of the public surface."""

    LIVE = "Live"
    MANIFEST_INVALID = "ManifestInvalid"
    REQUIREMENTS_FAILED = "RequirementsFailed"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a reason, not a secret
    IMPORT_FAILED = "ImportFailed"
    START_FAILED = "StartFailed"
    START_TIMED_OUT = "StartTimedOut"
    TESTS_FAILED = "TestsFailed"
    ROUTE_CONFLICT = "RouteConflict"
    CRASH_LOOP = "CrashLoop"
    DEPENDENCY_NOT_READY = "DependencyNotReady"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    SUPERSEDED = "Superseded"
    OUT_OF_MEMORY = "OutOfMemory"


class Failure(Exception):
    """Something the product foresaw. `problems` point at files; `detail` is output for people, already cut."""

    def __init__(
        self, reason: Reason, message: str, *, problems: tuple[Problem, ...] = (), detail: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.problems = problems
        self.detail = detail


class Wait(Failure):
    """The same attempt may succeed later, with nothing changed: a host is down, a disk is full."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        after: float | None = None,
        problems: tuple[Problem, ...] = (),
        detail: str | None = None,
    ) -> None:
        super().__init__(reason, message, problems=problems, detail=detail)
        self.after = after


class Stalled(Failure):
    """The same attempt will fail the same way until a commit or a person changes something."""


class UnknownRevision(Exception):
    """A ref names no commit that can be had."""
