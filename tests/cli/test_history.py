"""`history`: what syncs did and how long it took, and how releases of a service lived."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.status import ActionStatus, CommitStatus, PhaseTime, ReleaseStatus
from tests.api.platform import Past, Still
from tests.api.statuses import SINCE, release, service, sync
from tests.cli.running import reconciler, served

EVIL = "\x1b]0;owned\x07\x1b[2J\u202e"
COMMIT = CommitStatus(sha="0123456789" * 4, author="Ada", subject="Add a search", at=SINCE)
NOW = datetime.now(UTC)


def phase(name: str, seconds: float, of: str | None = None) -> PhaseTime:
    return PhaseTime(name=name, service=of, started_at=SINCE, seconds=seconds)


def action(name: str, outcome: Any = "done", **changes: Any) -> ActionStatus:
    return ActionStatus(service=name, verb="replace", why="code changed", outcome=outcome, **changes)


BUSY = sync(
    7,
    "done",
    action("tasks"),
    action("notes", "failed", reason="TestsFailed", message=f"2 of 5 cases {EVIL}"),
    started_at=SINCE,
    finished_at=SINCE + timedelta(seconds=1.42),
    commit=COMMIT,
    phases=(
        phase("fetch", 0.021),
        phase("plan", 0.002),
        phase("environment", 0.25, "tasks"),
        phase("switch", 0.001, "tasks"),
    ),
)


class Lived(Past):
    async def releases(self, name: str, limit: int, after: str | None) -> tuple[Sequence[ReleaseStatus], int]:
        told: list[ReleaseStatus] = [
            release(name, 3, live_at=NOW - timedelta(hours=30, minutes=10), commit=COMMIT, verdict="passed"),
            release(name, 2, phase="failed", live_at=None, reason="TestsFailed", message="2 of 5", verdict="failed"),
            release(name, 1, phase="retired", retired_at=SINCE + timedelta(seconds=65)),
        ]
        return told, len(told)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("history")
    platform = Still(service("tasks"), logs=folder)
    platform.past[0] = BUSY
    platform.history = Lived(platform)
    with served(platform, folder / "data"):
        yield folder / "data"


def test_a_sync_is_told_with_its_commit_its_deeds_and_their_times(data: Path) -> None:
    lines = reconciler("history", "--limit", "2", "--data", str(data)).stdout.splitlines()
    assert lines[0].split("  ")[:5] == ["✓", "7", "done", "person", "main@01234567"]
    assert lines[0].endswith("in 1.4 s  Ada: Add a search")
    assert lines[1:5] == [
        "   fetch 21 ms, plan 2 ms, 3 kept",
        "   ✓  replace  tasks  code changed",
        "      environment 0.2 s, switch 1 ms",
        "   ✗  replace  notes  TestsFailed: 2 of 5 cases \\x1b]0;owned\\x07\\x1b[2J\\u202e",
    ]
    assert lines[5].split()[:2] == ["✓", "2"]


def test_releases_are_told_with_their_commit_verdict_and_life(data: Path) -> None:
    lines = reconciler("history", "tasks", "--data", str(data)).stdout.splitlines()
    told = [[word for word in line.split("  ") if word.strip()] for line in lines]
    assert [word.strip() for word in told[0][:6]] == [
        *("✓", "tasks-3", "live", "main@01234567", "live for 1 d 6 h", "passed"),
    ]
    assert lines[0].endswith("Ada: Add a search")
    assert "never live" in lines[1] and lines[1].endswith("TestsFailed: 2 of 5")
    assert "lived 1 min 5 s" in lines[2]
    assert lines[-1] == "1 of 2 releases went live  commit to live 4.0 s  50% failed"


def test_programs_get_what_the_api_tells(data: Path) -> None:
    told = json.loads(reconciler("history", "--limit", "2", "--json", "--data", str(data)).stdout)
    assert [each["id"] for each in told] == ["7", "2"]
    assert told[0] == json.loads(BUSY.model_dump_json())
    assert len(json.loads(reconciler("history", "tasks", "--json", "--data", str(data)).stdout)) == 3
