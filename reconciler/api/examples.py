"""One example of everything that the API tells or is told, for its OpenAPI document.

One story runs through them: `tasks` is live at its seventh release. A test holds each against its schema.
"""

from typing import Any, Final

AT = "2026-03-01T09:30:00Z"
LIVE_AT = "2026-03-01T09:30:04Z"
SHA = "8d3a1f0c5b7e92644f1d0a9be3c57268f4e01b7a"
REVISION = f"main@sha1:{SHA}"
OLD_REVISION = "main@sha1:1b9f02c7d4e85a3360cf9178ab24d5e6f7309c18"
DIGEST = "b5d0a93c7f41e2680d9c5a7b3e1f8042" * 2
ENVIRONMENT = "3f9a6c0de1b24875a6c8d92f04b7e15c"
RELEASE_ID = "tasks-7"

COMMIT = {"sha": SHA, "author": "Ada", "subject": "Answer with totals of the last week", "at": AT}
PHASES = [
    {"name": "preparing", "service": "tasks", "started_at": AT, "seconds": 0.4},
    {"name": "starting", "service": "tasks", "started_at": AT, "seconds": 1.1},
]
PACKAGE = {"name": "httpx", "old": "0.27.2", "new": "0.28.1"}

RELEASE = {
    "id": RELEASE_ID,
    "digest": DIGEST,
    "revision": REVISION,
    "commit": COMMIT,
    "phase": "live",
    "reason": None,
    "message": None,
    "verdict": "passed",
    "sync": "41",
    "environment": ENVIRONMENT,
    "phases": PHASES,
    "created_at": AT,
    "live_at": LIVE_AT,
    "retired_at": None,
}
BEFORE = {
    **RELEASE,
    "id": "tasks-6",
    "revision": OLD_REVISION,
    "commit": None,
    "phase": "retired",
    "retired_at": LIVE_AT,
}
SYNC = {
    "id": "41",
    "trigger": "webhook",
    "revision": REVISION,
    "commit": COMMIT,
    "state": "done",
    "requested_at": AT,
    "started_at": AT,
    "finished_at": LIVE_AT,
    "message": None,
    "actions": [
        {
            "service": "tasks",
            "verb": "replace",
            "why": "code changed",
            "outcome": "done",
            "reason": None,
            "message": None,
        }
    ],
    "kept": 11,
    "phases": PHASES,
}
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Live",
    "message": "tasks-7 serves.",
    "since": LIVE_AT,
    "file": None,
    "line": None,
}
EVENT = {
    "id": 310,
    "at": LIVE_AT,
    "kind": "ReleaseSwitched",
    "service": "tasks",
    "release": RELEASE_ID,
    "sync": "41",
    "revision": REVISION,
    "message": "tasks-7 has the traffic",
    "data": {},
}
RUN = {
    "id": "tasks.nightly.20260301T0100Z",
    "job": "nightly",
    "cause": "schedule",
    "actor": None,
    "state": "done",
    "release": RELEASE_ID,
    "scheduled_at": "2026-03-01T01:00:00Z",
    "started_at": "2026-03-01T01:00:00Z",
    "finished_at": "2026-03-01T01:00:02Z",
    "late": 0.02,
    "message": "answered 200",
    "detail": None,
}
TOKEN = {
    "id": "0b1c2d3e4f50",
    "name": "ci",
    "kind": "token",
    "scopes": ["deploy"],
    "services": None,
    "state": "good",
    "created_by": "admin",
    "created_at": AT,
    "expires_at": None,
    "used_at": LIVE_AT,
}
WEBHOOK = {
    "id": "12",
    "provider": "github",
    "event": "push",
    "delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "state": "accepted",
    "reason": "a push to main",
    "received_at": AT,
    "repeats": 0,
    "repeated_at": None,
    "sync": "41",
}
SECRET = {"name": "STRIPE_KEY", "version": 2, "set_at": AT, "set_by": "admin", "used_by": ["tasks"]}

EXAMPLES: Final[dict[str, Any]] = {
    "ActionTaken": {
        "service": "tasks",
        "action": "rollback",
        "changed": True,
        "message": "tasks-6 has the traffic, until there is a new digest or `resume`.",
        "release": "tasks-6",
    },
    "AuditStatus": {
        "id": "88",
        "at": AT,
        "actor": "ci",
        "token": "0b1c2d3e4f50",
        "action": "POST /v1/services/tasks/rollback",
        "service": "tasks",
        "address": "192.0.2.7",
        "status": 200,
    },
    "Comparison": {"before": BEFORE, "after": RELEASE, "moved": ["code", "environment"], "packages": [PACKAGE]},
    "DeliveryStatus": {
        "since": AT,
        "attempts": 7,
        "deploys": 6,
        "lead_time": 9.2,
        "failure_share": 0.14,
        "time_to_restore": 312.0,
    },
    "EventStatus": EVENT,
    "Health": {"alive": True},
    "KeyTaken": {"key": "9f86d081884c7d65"},
    "NewToken": {**TOKEN, "token": "rcl_0b1c2d3e4f50_" + "x" * 43},
    "PlanStatus": {
        "revision": REVISION,
        "actions": [
            {
                "service": "tasks",
                "verb": "replace",
                "why": "code changed",
                "moved": ["code"],
                "packages": [PACKAGE],
                "routes": [
                    {
                        "method": "GET",
                        "path": "/totals",
                        "kind": "removed",
                        "breaks": ["the route is gone"],
                        "notes": [],
                    }
                ],
                "breaking": True,
                "reason": None,
                "message": None,
                "problems": [],
            }
        ],
        "message": None,
        "problems": [],
    },
    "PlatformStatus": {
        "version": "0.1.0",
        "python": "3.13.1",
        "source": {"url": "https://git.example.com/team/services.git", "branch": "main", "condition": READY},
        "revision_attempted": REVISION,
        "revision_applied": REVISION,
        "services": 12,
        "counts": {"Ready": 12},
        "last_sync": SYNC,
        "destinations": [],
        "ready": True,
        "started_at": AT,
    },
    "ProblemDocument": {"title": "Not Found", "status": 404, "detail": "there is no service taks"},
    "Readiness": {"ready": True},
    "Receipt": {"receipt": "12", "state": "accepted", "reason": "a push to main", "repeated": False},
    "ReleaseDetail": {
        **RELEASE,
        "packages": {"fastapi": "0.165.0", "httpx": "0.28.1"},
        "routes_at": "/api/tasks/",
        "problems": [],
        "detail": None,
    },
    "ReleaseStatus": RELEASE,
    "Rollback": {"to": "tasks-6"},
    "RunStatus": RUN,
    "SecretHistory": {
        "name": "STRIPE_KEY",
        "versions": [{"version": 2, "at": AT, "by": "admin", "removed": False, "kept": True}],
    },
    "SecretStatus": SECRET,
    "SecretTaken": {
        "name": "STRIPE_KEY",
        "version": 3,
        "changed": True,
        "message": "STRIPE_KEY is set; tasks gets it with its next release.",
        "warnings": [],
    },
    "ServiceStatus": {
        "name": "tasks",
        "description": "Tasks, with a search",
        "path": "/api/tasks/",
        "conditions": [READY],
        "live": RELEASE,
        "candidate": None,
        "revision_attempted": REVISION,
        "revision_applied": REVISION,
        "revision_changed": REVISION,
        "environment": {"id": ENVIRONMENT, "packages": {"fastapi": "0.165.0", "httpx": "0.28.1"}},
        "workers": [
            {
                "id": "tasks-7.1",
                "release": RELEASE_ID,
                "pid": 4242,
                "state": "ready",
                "started_at": LIVE_AT,
                "restarts": 0,
            }
        ],
        "traffic": {
            "requests_per_second": 4.2,
            "error_share": 0.0,
            "latency_p50": 0.004,
            "latency_p95": 0.021,
            "connections": 12,
            "in_flight": 1,
            "requests_by_minute": [*[240] * 29, 118],
            "errors_by_minute": [0] * 30,
        },
        "processes": [],
        "cron": [],
        "suite": {"verdict": "passed", "summary": "5 of 5 cases passed", "flaky": False, "release": RELEASE_ID},
        "problems": [],
        "detail": None,
        "events": [EVENT],
    },
    "SuiteReport": {
        "service": "tasks",
        "release": RELEASE_ID,
        "verdict": "passed",
        "summary": "1 of 1 cases passed",
        "flaky": False,
        "seconds": 0.04,
        "suites": [
            {
                "name": "tests.yaml",
                "file": "services/tasks/tests.yaml",
                "verdict": "passed",
                "cases": [
                    {
                        "name": "create a task",
                        "part": "cases",
                        "outcome": "passed",
                        "file": "services/tasks/tests.yaml",
                        "line": 4,
                    }
                ],
            }
        ],
    },
    "SyncStatus": SYNC,
    "TokenStatus": TOKEN,
    "Value": {"value": "sk_live_…"},
    "WebhookStatus": WEBHOOK,
    "WebhookTold": {**WEBHOOK, "outcome": SYNC},
    "Wish": {"name": "ci", "scopes": ["deploy"], "lasts": 2592000},
}
