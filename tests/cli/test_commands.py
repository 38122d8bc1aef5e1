"""The commands against a running server: what they print, and how they end."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.model.status import JobStatus, ProcessStatus
from tests.api.asking import TOKEN
from tests.api.platform import Still
from tests.api.statuses import condition, failing, run, service, sync
from tests.api.test_logs import record
from tests.cli.running import environment, executed, reconciler, served
from tests.waiting import until_sync


@dataclass
class Running:
    platform: Still
    data: Path
    url: str


EVIL = "\x1b]0;owned\x07\x1b[2J\u202e"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests; each begins with the same platform."""
    folder = tmp_path_factory.mktemp("running")
    platform = Still(logs=folder / "logs")
    with served(platform, folder / "data") as url:
        yield Running(platform, folder / "data", url)


@pytest.fixture
def platform(running: Running) -> Iterator[Still]:
    logs = running.platform.folder
    running.platform.__init__(service("notes"), service("tasks"), logs=logs)  # type: ignore[misc]
    (logs / "tasks").mkdir(parents=True)
    yield running.platform
    shutil.rmtree(logs)


@pytest.fixture
def data(running: Running, platform: Still) -> Path:
    return running.data


def test_status_shows_every_service_at_a_glance(platform: Still, data: Path) -> None:
    since = datetime.now(UTC) - timedelta(minutes=3, seconds=5)
    for name in ("notes", "tasks"):
        platform.all[name] = service(name, condition().model_copy(update={"since": since}))
    done = executed("status", "--data", str(data))
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout, "no colour but on a terminal"
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["✓", "notes", "Ready", "Live", "3", "min", "ago", "notes-1", "main@01234567"] in lines
    assert ["✓", "tasks", "Ready", "Live", "3", "min", "ago", "tasks-1", "main@01234567"] in lines


def test_status_is_1_when_something_is_not_good_and_says_what(platform: Still, data: Path) -> None:
    platform.all["board"] = failing("board")
    done = executed("status", "--data", str(data))
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if "board" in line)
    assert line.startswith("✗  board  Ready Stalled  ImportFailed")
    assert line.endswith("It does not import: no module named nope.")
    assert done.stdout.endswith("\n1 service is not good:  reconciler status board  says more\n")


def test_status_is_1_when_the_source_cannot_be_reached(platform: Still, data: Path) -> None:
    platform.source_is_good = False
    done = reconciler("status", "--data", str(data))
    assert done.returncode == 1
    assert "✗ SourceUnavailable: The repository cannot be reached." in done.stdout


def test_a_single_service_is_counted_as_one(platform: Still, data: Path) -> None:
    del platform.all["notes"]
    assert "  1 service  1 Ready\n" in reconciler("status", "--data", str(data)).stdout


def test_a_suspended_service_is_somebodys_wish(platform: Still, data: Path) -> None:
    platform.all["tasks"] = service("tasks", condition("Ready", "False", "Live"), condition("Suspended"))
    done = reconciler("status", "--data", str(data))
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("-  tasks  Ready=False Suspended")]


def test_status_of_one_service_says_where_it_fails(platform: Still, data: Path) -> None:
    platform.all["board"] = failing("board")
    done = reconciler("status", "board", "--data", str(data))
    assert done.returncode == 1
    for text in (
        "services/board/router.py:3",
        "import nope",
        "add it to requirements",
        "board-1.1, ready, pid 42",
        "Went live",
    ):
        assert text in done.stdout


def test_jobs_and_processes_are_told_with_a_service_and_in_a_list(platform: Still, data: Path) -> None:
    last = run("tasks", "failed").model_copy(update={"message": f"answered 500 {EVIL}"})
    job = JobStatus(
        name="tidy",
        schedule="0 2 * * *",
        timezone="Europe/Madrid",
        does="POST /tidy",
        next=datetime.now(UTC) + timedelta(hours=3, minutes=1),
        running=None,
        waiting=0,
        last=last,
        outcomes=("done", "skipped", "failed"),
        missed=2,
    )
    process = ProcessStatus(
        name="worker",
        command="celery worker",
        state="backoff",
        pid=None,
        started_at=None,
        restarts=4,
        last_exit="exited with status 1",
    )
    platform.all["tasks"] = service("tasks", cron=(job,), processes=(process,))
    shown = reconciler("status", "tasks", "--data", str(data)).stdout
    assert "worker, backoff, pid -, restarted 4 times, exited with status 1" in shown
    assert "tidy, 0 2 * * * Europe/Madrid, next in 3 h, failed" in shown
    listed = reconciler("cron", "list", "--data", str(data)).stdout
    for words in ("tasks", "tidy", "next in 3 h", "✓-✗", "0.2 s late", "2 missed", "failed", "answered 500"):
        assert words in listed, listed
    assert "\x1b]0" not in listed
    assert json.loads(reconciler("cron", "list", "tasks", "--json", "--data", str(data)).stdout)[0]["name"] == "tidy"
    assert reconciler("cron", "list", "notes", "--data", str(data)).stdout == "no jobs\n"


def test_a_job_that_is_run_by_hand_is_waited_for_or_not(platform: Still, data: Path) -> None:
    waited = reconciler("cron", "run", "tasks", "tidy", "--data", str(data))
    assert (waited.returncode, "done: answered 200 (0.0 s)" in waited.stdout) == (0, True), waited
    begun = reconciler("cron", "run", "tasks", "tidy", "--no-wait", "--data", str(data))
    assert (begun.returncode, begun.stdout) == (0, "… tasks.tidy.20260102T0304Z running\n")
    assert reconciler("cron", "run", "tasks", "nothing", "--data", str(data)).returncode == 2


def test_status_as_json_is_the_api_word_for_word(platform: Still, data: Path) -> None:
    told = json.loads(reconciler("status", "--json", "--data", str(data)).stdout)
    assert [each["name"] for each in told["services"]] == ["notes", "tasks"]
    assert told["platform"]["services"] == 2
    one = json.loads(reconciler("status", "tasks", "--json", "--data", str(data)).stdout)
    assert one == told["services"][1]


def test_status_reads_all_pages(platform: Still, data: Path) -> None:
    platform.all = {f"s{number:04}": service(f"s{number:04}") for number in range(1001)}
    done = reconciler("status", "--data", str(data))
    assert sum(line.startswith("✓  s") for line in done.stdout.splitlines()) == 1001


def test_what_comes_from_services_moves_no_cursor(platform: Still, data: Path) -> None:
    platform.all["tasks"] = service(
        "tasks", condition("Stalled", "True", "ImportFailed", EVIL), detail=EVIL, description=EVIL
    )
    (platform.folder / "tasks" / "current.jsonl").write_bytes(record(1, message=EVIL, request=EVIL))
    for command in (
        ["status"],
        ["status", "tasks"],
        ["logs", "tasks"],
        ["logs", "tasks", "--json"],
        ["status", "--json"],
    ):
        done = reconciler(*command, "--data", str(data))
        assert done.stdout
        assert not set(done.stdout) & set(EVIL[:1] + "\x07\u202e"), command


def test_sync_answers_at_once(platform: Still, data: Path) -> None:
    done = reconciler("sync", "--retry", "--data", str(data))
    assert (done.returncode, done.stdout) == (0, "sync 4 waiting\n")
    assert platform.asked == [("person", "admin", True)]


@pytest.mark.parametrize(
    ("state", "outcome", "code"), [("done", "done", 0), ("done", "failed", 1), ("failed", None, 1)]
)
def test_sync_wait_tells_what_became_of_it(
    platform: Still, data: Path, state: str, outcome: str | None, code: int
) -> None:
    from reconciler.model.status import ActionStatus

    def finish() -> None:
        until_sync(lambda: platform.asked, what="the sync asked for")
        action = {"service": "tasks", "verb": "replace", "why": "code changed", "outcome": outcome}
        actions = [ActionStatus.model_validate(action)] if outcome else []
        platform.past[0] = sync(4, state, *actions)

    thread = threading.Thread(target=finish)
    thread.start()
    done = reconciler("sync", "--wait", "--data", str(data))
    thread.join()
    assert done.returncode == code, done
    assert "3 kept" in done.stdout
    assert ("replace  tasks  code changed" in done.stdout) is (outcome is not None)
    assert ("1 service is not good:  reconciler status tasks  says more" in done.stdout) is (outcome == "failed")


def test_sync_wait_goes_on_with_the_one_that_took_its_place(platform: Still, data: Path) -> None:
    def supersede() -> None:
        until_sync(lambda: platform.asked, what="the sync asked for")
        platform.past[0] = sync(4, "superseded")
        platform.past.insert(0, sync(5, "done", message="the newer one"))

    thread = threading.Thread(target=supersede)
    thread.start()
    done = reconciler("sync", "--wait", "--data", str(data))
    thread.join()
    assert done.returncode == 0
    assert "the newer one" in done.stdout


def test_plan_says_what_and_why(platform: Still, data: Path) -> None:
    done = reconciler("plan", "--data", str(data))
    assert (done.returncode, done.stdout) == (
        0,
        "replace  tasks  code changed\nmain@01234567  1 to change, 1 to keep\n",
    )
    assert reconciler("plan", "unknown", "--data", str(data)).returncode == 2


@pytest.mark.parametrize(
    "command",
    [
        ["status", "nope"],
        ["logs", "nope"],
        ["history", "nope"],
        ["status", "../../x"],
        ["logs", "tasks", "--since", "x"],
    ],
)
def test_what_the_server_does_not_know_is_one_line_and_2(data: Path, command: list[str]) -> None:
    done = reconciler(*command, "--data", str(data))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_token_is_2_with_a_remedy(data: Path) -> None:
    done = executed("status", "--data", str(data), RECONCILER_TOKEN="rcl_wrong")
    assert done.returncode == 2
    assert "does not know this token; set RECONCILER_TOKEN" in done.stderr


def test_the_environment_names_another_server(running: Running, data: Path, tmp_path: Path) -> None:
    done = reconciler("status", RECONCILER_URL=f"{running.url}/", RECONCILER_TOKEN=TOKEN, cwd=tmp_path)
    assert done.returncode == 0


@pytest.mark.parametrize("url", ["127.0.0.1:8001", "http://127.0.0.1:abc", "http://[::1", "http://", "ftp://x/"])
def test_an_address_that_is_none_is_one_line_and_2(url: str) -> None:
    done = reconciler("status", RECONCILER_URL=url, RECONCILER_TOKEN=TOKEN)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"reconciler: RECONCILER_URL {url!r} is no address; write http://HOST:PORT or https://HOST\n"


def test_the_line_break_behind_a_token_is_not_part_of_it(running: Running, data: Path) -> None:
    assert reconciler("status", RECONCILER_URL=running.url, RECONCILER_TOKEN=f"{TOKEN}\n").returncode == 0


@pytest.mark.parametrize("token", ["rcl_€", "rcl_a\nrcl_b"])
def test_a_token_that_cannot_be_sent_is_one_line_and_2_and_not_shown(running: Running, token: str) -> None:
    done = reconciler("status", RECONCILER_URL=running.url, RECONCILER_TOKEN=token)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "RECONCILER_TOKEN" in done.stderr
    assert "rcl_" not in done.stderr


def test_a_token_from_a_folder_is_not_sent_to_an_address_from_elsewhere(data: Path) -> None:
    done = reconciler("status", "--data", str(data), RECONCILER_URL="http://127.0.0.1:1")
    assert (done.returncode, done.stderr) == (2, "reconciler: RECONCILER_URL is set, but RECONCILER_TOKEN is not\n")


@pytest.mark.parametrize("command", [["status"], ["sync"], ["plan"], ["history"], ["logs", "x"], ["logs", "x", "-f"]])
def test_no_server_is_one_line_and_3(tmp_path: Path, command: list[str]) -> None:
    done = (executed if command == ["status"] else reconciler)(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("reconciler: no server runs with the data folder .reconciler")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b'HTTP/1.1 404 Not Found\r\nContent-Length: 33\r\n\r\n{"error": {"code": "not_found"}} ',
    ],
)
def test_what_is_no_reconciler_is_one_line_and_3(tmp_path: Path, answer: bytes | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"http://127.0.0.1:{other.getsockname()[1]}"

        def speak() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer or b"")

        if answer is None:
            other.close()
        else:
            threading.Thread(target=speak).start()
        done = reconciler("status", RECONCILER_URL=url, RECONCILER_TOKEN=TOKEN)
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_reader_that_leaves_early_is_no_fault(platform: Still, data: Path) -> None:
    platform.all = {f"s{number:04}": service(f"s{number:04}") for number in range(3000)}
    command = f"{sys.executable} -m reconciler.cli status --data {data} | head -1"
    done = subprocess.run(
        command, shell=True, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
