"""What strangers write, and what happens to disks, met by the API of a running platform."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import PLATFORM, service

EVIL = "<script>alert(1)</script>"
EVENT = """
INSERT INTO events (at, kind, service, message, data) VALUES ('2026-01-02 03:04:05', 'SyncFinished', 'old', ?, '{}')
"""
MORE_THAN_MEMORY = 8_000
"""Events of a kilobyte: what the database keeps of itself in memory is a quarter of that."""
FOLDER = EVIL.replace("/", "")
HUGE = f"\x1b[31mSell{EVIL}\x1b]0;taken\x07\u202e" + "x" * 1_000_000


def test_a_service_called_like_a_script_is_refused_by_its_name_and_told_as_text(shared: Platform) -> None:
    told = shared.deploy({f"services/{FOLDER}/service.yaml": "version: 1\n"})
    assert told["message"].startswith(f"`{FOLDER}` cannot be the name of a service: rename the folder"), told
    answer = shared.control.get(f"/v1/syncs/{told['id']}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = shared.control.get(f"/syncs/{told['id']}")
    assert "<script>alert" not in page.text and "&lt;script&gt;alert" in page.text
    assert [one["name"] for one in shared.control.get("/v1/services").json()["items"]] == ["steady"]
    assert shared.deploy({f"services/{FOLDER}": None})["message"] is None


def test_a_commit_message_of_a_megabyte_is_cut_and_obeyed_by_nobody(shared: Platform) -> None:
    (shared.repository.path / ".message").write_text(HUGE)
    shared.repository.git("commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "--file", ".message")
    synced = shared.sync()
    subject = eventually(
        lambda: (shared.control.get(f"/v1/syncs/{synced['id']}").json()["commit"] or {}).get("subject")
    )
    assert EVIL in subject and subject.endswith("xx"), subject
    assert len(subject) <= 200 and not set(subject) & set("\x1b\x07\u202e")
    for path in ("/v1/syncs", "/v1/status", "/", "/syncs"):
        answer = shared.control.get(path)
        assert len(answer.content) < 200_000 and "\x1b" not in answer.text
        assert path.startswith("/v1/") or "<script>alert" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/services?q=%27%20OR%20%271%27=%271",
        "/v1/events/newest?service=%27%20OR%20%271%27=%271",
        "/v1/services/steady/runs?job=%27;%20DROP%20TABLE%20runs;--",
        "/v1/services/steady/releases?after=nothing-1",
        "/v1/syncs?after=0",
    ],
)
def test_what_looks_like_sql_finds_nothing(shared: Platform, path: str) -> None:
    page = shared.control.get(path).raise_for_status().json()
    assert (page["items"], page["next"]) == ([], None)
    assert shared.control.get("/v1/syncs").json()["total"] > 0


def test_a_journal_damaged_while_it_is_open_stops_no_traffic_and_is_said(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    platform.start()
    platform.stop()
    with closing(sqlite3.connect(platform.data / "journal.db")) as journal, journal:
        journal.executemany(EVENT, [("x" * 1_000,)] * MORE_THAN_MEMORY)
    platform.start()
    damage(platform.data / "journal.db")
    answer = platform.control.get("/v1/events/newest?service=old&limit=500")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json" and "retry-after" in answer.headers
    assert "The journal is damaged" in answer.json()["detail"] and "Restore it" in answer.json()["detail"]
    assert platform.control.get("/v1/status").status_code == 200
    assert platform.control.get("/v1/services/tasks").json()["live"]["id"] == "tasks-1"
    assert platform.version("tasks") == "1"


def damage(path: Path) -> None:
    """All of it but its length, while the server has it open."""
    with path.open("r+b") as file:
        file.write(b"\xde\xad" * (path.stat().st_size // 2))
