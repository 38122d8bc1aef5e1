"""Statuses to tell: of services, releases, runs, syncs and suites, all of one moment."""

from datetime import UTC, datetime
from typing import Any

from reconciler.model.status import (
    ActionStatus,
    Condition,
    ConditionType,
    EnvironmentStatus,
    EventStatus,
    ProblemStatus,
    ReleaseStatus,
    RunStatus,
    ServiceStatus,
    SyncStatus,
    TrafficStatus,
    WorkerStatus,
)
from reconciler.model.suite.expectation import Mismatch
from reconciler.model.verdict import CaseResult, Outcome, Report, SuiteResult, Verdict

PASSED = Report("tasks", "tasks-1", Verdict.PASSED)
FAILED = Report(
    "red",
    "red-1",
    Verdict.FAILED,
    (
        SuiteResult(
            "tests.yaml",
            "services/red/tests.yaml",
            Verdict.FAILED,
            cases=(
                CaseResult(
                    "says hello",
                    "cases",
                    Outcome.FAILED,
                    "services/red/tests.yaml",
                    4,
                    mismatches=(Mismatch("status", "200", "500", None, "services/red/tests.yaml", 5),),
                    curl="curl -i http://127.0.0.1:8000/api/red/hello",
                    hurl="GET {{base_url}}/hello\nHTTP 200\n",
                ),
            ),
        ),
    ),
)
SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REVISION = "main@sha1:" + "0123456789" * 4


def condition(
    type: ConditionType = "Ready", status: Any = "True", reason: str = "Live", message: str = "It serves."
) -> Condition:
    return Condition(type=type, status=status, reason=reason, message=message, since=SINCE)


def release(name: str, number: int, **changes: Any) -> ReleaseStatus:
    given = {"id": f"{name}-{number}", "digest": "d" * 64, "revision": REVISION, "phase": "live", "created_at": SINCE}
    return ReleaseStatus(**{**given, "live_at": SINCE, **changes})


def happened(number: int, service: str | None = "tasks") -> EventStatus:
    return EventStatus(
        id=number, at=SINCE, kind="ReleaseSwitched", service=service, release=None, message=f"number {number}"
    )


def service(name: str, *conditions: Condition, **changes: Any) -> ServiceStatus:
    given: dict[str, Any] = {
        "name": name,
        "description": f"What {name} is for",
        "path": f"/api/{name}/",
        "conditions": conditions or (condition(),),
        "live": release(name, 1),
        "candidate": None,
        "revision_attempted": REVISION,
        "revision_applied": REVISION,
        "revision_changed": REVISION,
        "environment": EnvironmentStatus(id="e" * 32, packages={"fastapi": "0.165.0"}),
        "workers": (WorkerStatus(id=f"{name}-1.1", release=f"{name}-1", pid=42, state="ready"),),
        "events": (EventStatus(id=1, at=SINCE, kind="live", service=name, release=f"{name}-1", message="Went live"),),
    }
    return ServiceStatus(**{**given, **changes})


def busy(scale: int = 1) -> TrafficStatus:
    """One request in a hundred fails, and there are more of them from minute to minute, but for the one under way."""
    requests = tuple(scale * (250 - 10 * abs(place % 10 - 5) - place // 10) for place in range(29))
    return TrafficStatus(
        requests_per_second=4.2 * scale,
        error_share=0.01,
        latency_p50=0.004,
        latency_p95=0.021,
        connections=12,
        in_flight=1,
        requests_by_minute=(*requests, 118 * scale),
        errors_by_minute=(0,) * 10 + (6 * scale,) * 12 + (0,) * 8,
    )


def failing(name: str) -> ServiceStatus:
    """Its last good release serves, the newest one failed."""
    return service(
        name,
        condition(),
        condition("Stalled", "True", "ImportFailed", "It does not import: no module named nope."),
        problems=(
            ProblemStatus(
                message="no module named nope",
                code="import-failed",
                file=f"services/{name}/router.py",
                line=3,
                excerpt="import nope",
                remedy="add it to requirements",
            ),
        ),
        detail="Traceback (most recent call last):\n  ...\nModuleNotFoundError: nope",
    )


def run(name: str, state: Any = "done") -> RunStatus:
    return RunStatus(
        id=f"{name}.tidy.20260102T0304Z",
        job="tidy",
        cause="schedule",
        actor=None,
        state=state,
        release=f"{name}-1",
        scheduled_at=SINCE,
        started_at=SINCE,
        finished_at=None if state == "running" else SINCE,
        late=0.25,
        message="answered 200",
    )


def sync(number: int, state: Any = "done", *actions: ActionStatus, **changes: Any) -> SyncStatus:
    given = {"id": f"{number}", "trigger": "person", "revision": REVISION, "requested_at": SINCE}
    return SyncStatus(**{**given, "state": state, "actions": actions, "kept": 3, **changes})
