"""Pytest files of a service, run in its environment against a loopback address, told as a report like any other."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from uv import find_uv_bin

from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.verdict import Outcome, Report, Verdict
from reconciler.suite.pytest_gate import PytestRun, run_pytest
from reconciler.suite.target import Target
from tests.suite.serving import serve_on_loopback
from tests.suite.tasks_service import PREFIX, tasks_app

TARGET = Target("", PREFIX, ServiceName("tasks"), ReleaseId("tasks-7"))
ASKING = """
    import json, os, urllib.error, urllib.request
    import pytest
    URL = os.environ["RECONCILER_BASE_URL"]

    def test_lists_tasks():
        with urllib.request.urlopen(URL + "/tasks") as answer:
            assert json.load(answer) == []

    def test_fails():
        print("about to fail with s3cr3t")
        with urllib.request.urlopen(URL + "/login") as answer:
            assert json.load(answer)["token"] == "other"

    @pytest.mark.skip(reason="not today")
    def test_skipped():
        pass
"""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with serve_on_loopback(tasks_app()) as url:
        yield url + PREFIX


def ran(
    folder: Path, text: str, base_url: str, *, python: str = sys.executable, seconds: float = 30, **environ: str
) -> Report:
    (folder / "test_tasks.py").write_text(dedent(text))
    run = PytestRun(Path(python), folder, ["test_tasks.py"], base_url, environ, seconds, "services/tasks")
    return asyncio.run(run_pytest(run, TARGET, redact=lambda text, **_: text.replace("s3cr3t", "***")))


def test_each_test_is_a_case(tmp_path: Path, base_url: str) -> None:
    report = ran(tmp_path, ASKING, base_url)
    outcomes: Mapping[str, Outcome] = {case.name: case.outcome for case in report.cases}
    assert report.verdict is Verdict.FAILED
    assert outcomes == {
        "test_lists_tasks": Outcome.PASSED,
        "test_fails": Outcome.FAILED,
        "test_skipped": Outcome.SKIPPED,
    }
    (failed,) = report.failing
    assert (failed.file, failed.line) == ("services/tasks/test_tasks.py", 10)
    assert "'t0k3n' == 'other'" in (failed.reason or "")
    assert failed.logs == ("about to fail with ***",)
    assert "s3cr3t" not in str(report.to_json())


CLOSED = """
    import pathlib, resource

    def test_it_is_closed_and_limited():
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, 300)
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] < 1 << 30
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        status = pathlib.Path("/proc/self/status")
        assert not status.exists() or "NoNewPrivs:\\t1" in status.read_text()
"""


def test_it_runs_within_the_limits_of_the_service(tmp_path: Path, base_url: str) -> None:
    (tmp_path / "test_tasks.py").write_text(dedent(CLOSED))
    files = ["test_tasks.py"]
    run = PytestRun(Path(sys.executable), tmp_path, files, base_url, open_files=300, memory=64 << 20)
    report = asyncio.run(run_pytest(run, TARGET))
    assert report.verdict is Verdict.PASSED, report.summary


def test_all_passed_is_passed(tmp_path: Path, base_url: str) -> None:
    assert ran(tmp_path, "def test_a():\n    pass\n", base_url).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("x = 1", "found no tests", id="no tests"),
        pytest.param("import os\nos._exit(9)", "ended with status 9", id="a crash"),
    ],
)
def test_what_shows_nothing_is_inconclusive(tmp_path: Path, base_url: str, text: str, told: str) -> None:
    report = ran(tmp_path, text, base_url)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert told in (report.suites[0].reason or "")


def test_a_file_that_cannot_be_imported_fails(tmp_path: Path, base_url: str) -> None:
    report = ran(tmp_path, "import nowhere_to_be_found\n", base_url)
    assert report.verdict is not Verdict.PASSED
    assert "nowhere_to_be_found" in str(report.to_json())


def test_a_test_that_hangs_is_stopped_with_its_children(tmp_path: Path, base_url: str) -> None:
    text = """
        import subprocess, time
        def test_hangs():
            subprocess.Popen(["sleep", "300"])
            time.sleep(300)
    """
    begun = time.monotonic()
    report = ran(tmp_path, text, base_url, seconds=2)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "stopped after 2 s" in (report.suites[0].reason or "")
    assert time.monotonic() - begun < 60


def test_an_environment_without_pytest_says_what_to_do(tmp_path: Path, base_url: str) -> None:
    bare = tmp_path / "bare"
    subprocess.run([find_uv_bin(), "venv", "-q", "--python", sys.executable, bare], check=True, timeout=60)
    report = ran(tmp_path, ASKING, base_url, python=str(bare / "bin" / "python"))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.suites[0].reason == "pytest is not in the service's environment; add `pytest` to its `requirements`"


def test_nothing_of_this_process_reaches_the_tests(
    tmp_path: Path, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPERATORS_TOKEN", "x")
    text = """
        import os
        def test_environment():
            assert "OPERATORS_TOKEN" not in os.environ
            assert os.environ["PAGE_SIZE"] == "50"
    """
    assert ran(tmp_path, text, base_url, PAGE_SIZE="50").verdict is Verdict.PASSED
