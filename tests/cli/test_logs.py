"""`logs`: what services and the platform said, in a pipe and on a terminal, and through a restart of the server."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.logs import Teller
from reconciler.cli.terminal import Screen
from tests.api.platform import Still
from tests.api.statuses import service
from tests.api.test_logs import record
from tests.cli.running import environment, reconciler, served


@pytest.fixture
def platform(tmp_path: Path) -> Still:
    (tmp_path / "logs" / "tasks").mkdir(parents=True)
    (tmp_path / "logs" / "_platform").mkdir()
    return Still(service("tasks"), logs=tmp_path / "logs")


@contextmanager
def running(data: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "reconciler.cli", *words, "--data", str(data)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(), **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return str(json.loads(process.stdout.readline())["message"])


def test_lines_of_a_pipe_are_whole_and_alike(platform: Still, tmp_path: Path) -> None:
    current = platform.folder / "tasks" / "current.jsonl"
    current.write_bytes(record(1, request="r-1") + record(2, message="Traceback:\n  boom", level="ERROR"))
    where = ("--data", str(tmp_path / "data"))
    with served(platform, tmp_path / "data"):
        done = reconciler("logs", "tasks", *where)
        bad = reconciler("logs", "tasks", "--level", "Warning", "--until", "2027-01-01", *where)
    assert done.stdout.splitlines() == [
        "2026-01-02T03:04:06+00:00  INFO      tasks-1  [r-1]  line 1",
        "2026-01-02T03:04:07+00:00  ERROR     tasks-1  Traceback:",
        "2026-01-02T03:04:07+00:00  ERROR     tasks-1    boom",
    ]
    assert [line.split()[-1] for line in bad.stdout.splitlines()] == ["Traceback:", "boom"]


def test_the_platform_is_heard_too_also_about_one_service(platform: Still, tmp_path: Path) -> None:
    own = {"release": None, "worker": None, "process": "control"}
    lines = [
        record(1, **own, service=None, message="listening"),
        record(2, **own, service="notes", sync="7", message="preparing"),
        record(3, **own, service="tasks", sync="7", message="failed", level="WARNING"),
    ]
    (platform.folder / "_platform" / "current.jsonl").write_bytes(b"".join(lines))
    every = ((), ("tasks", "--platform"), ("--sync", "7"), ("--level", "warning"), ("tasks",))
    with served(platform, tmp_path / "data"):
        said = {words: reconciler("logs", *words, "--data", str(tmp_path / "data")).stdout for words in every}
    assert {words: [line.split()[-1] for line in text.splitlines()] for words, text in said.items()} == {
        (): ["listening", "preparing", "failed"],
        ("tasks", "--platform"): ["failed"],
        ("--sync", "7"): ["preparing", "failed"],
        ("--level", "warning"): ["failed"],
        ("tasks",): [],
    }


def test_following_goes_on_with_the_next_server_until_ctrl_c(platform: Still, tmp_path: Path) -> None:
    current, data = platform.folder / "tasks" / "current.jsonl", tmp_path / "data"
    current.write_bytes(record(1, request="r-1"))
    with running(data, "logs", "tasks", "-f") as nobody:
        assert nobody.wait(20) == 3
    with served(platform, data):
        follower = running(data, "logs", "tasks", "-f", "--json", "--request", "r-1")
        process = follower.__enter__()
        assert heard(process) == "line 1"
        with current.open("ab") as file:
            file.write(record(3) + record(4, request="r-1"))
        assert heard(process) == "line 4"
    with current.open("ab") as file:
        file.write(record(5, request="r-1"))
    try:
        with served(platform, data):
            assert heard(process) == "line 5"
            with current.open("ab") as file:
                file.write(record(6, request="r-1"))
            assert heard(process) == "line 6"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "")
        assert err == "reconciler: the server went away; waiting for it\n"
    finally:
        follower.__exit__(None, None, None)


def told(columns: int, *lines: bytes) -> list[str]:
    at = datetime(2026, 1, 2, 3, tzinfo=UTC).astimezone()
    teller = Teller(Screen(columns), at)
    return [line for each in lines for line in teller.lines(json.loads(each))]


SERIOUS = record(2, message="Traceback:\n  boom", level="ERROR", request="r-1", release="tasks-10")


def test_a_terminal_gets_columns_and_signs() -> None:
    first, second, third = told(80, record(1), SERIOUS)
    assert first.endswith(":06.000     tasks-1  line 1")
    assert second.endswith(":07.000  ✗  tasks-10  Traceback:  [r-1]")
    assert third == " " * second.index("Traceback") + "  boom"


def test_a_narrow_one_gets_what_matters() -> None:
    first, second, third = told(40, record(1), SERIOUS)
    assert first.endswith(":06     line 1") and len(first) == 19
    assert second.endswith(":07  ✗  Traceback:  [r-1]")
    assert third == "    boom"


def test_another_day_is_announced() -> None:
    lines = told(80, record(1), record(2, time="2026-01-05T12:00:00Z"))
    assert lines[1] == "── 2026-01-05 ──"
