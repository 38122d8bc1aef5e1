"""The GitHub Action as a runner would run it: its scripts, its variables, its files for outputs and summary."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.platform import ROOT, Platform
from tests.end_to_end.repository import Repository
from tests.end_to_end.samples import PLATFORM, service

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def test_every_step_is_what_a_composite_action_may_have() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for step in ACTION["runs"]["steps"]:
        assert step["shell"] == "bash"
        # What strangers may write (a branch's name) stands in variables only, never in a script.
        assert "${{" not in step["run"]
    described = {*ACTION["inputs"], *ACTION["outputs"]}
    assert all(ACTION[kind][name]["description"] for kind in ("inputs", "outputs") for name in ACTION[kind])
    assert {"run", "path", "since", "server", "token", "sha", "timeout", "verdict", "sync"} == described


def run(folder: Path, **variables: str) -> "tuple[subprocess.CompletedProcess[str], dict[str, str], str]":
    """The action's step, its outputs and its summary."""
    outputs, summary = folder / "outputs", folder / "summary"
    for file in (outputs, summary):
        file.write_text("")
    (folder / "tmp").mkdir(exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RECONCILER_", "GITHUB_"))}
    given = {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ACTION": str(ROOT),
        "RUNNER_TEMP": str(folder / "tmp"),
        "GITHUB_OUTPUT": str(outputs),
        "GITHUB_STEP_SUMMARY": str(summary),
        **variables,
    }
    script = ["bash", str(ROOT / ".github/action/run.sh")]
    done = subprocess.run(script, env=given, capture_output=True, text=True, timeout=90)
    told = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    return done, told, summary.read_text()


def test_a_change_with_one_bad_manifest(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit({"services.yaml": PLATFORM, **service("tasks"), **service("notes")})
    base = repository.head()
    repository.commit({**service("notes", "2"), "services/tasks/service.yaml": "version: 1\nreplica: 2\n"})
    done, told, summary = run(tmp_path, RUN="check", CHECKED=str(repository.path), SINCE=base)
    assert (done.returncode, told) == (1, {"verdict": "failed"}), done.stderr
    assert "::error file=services/tasks/service.yaml,line=2" in done.stdout
    assert "replicas" in done.stdout, "the nearest field is named"
    assert "services/notes" not in done.stdout
    assert "reconciler check" in summary and "service.yaml:2" in summary
    assert "What a merge would change" in summary and "replace" in summary
    assert shown("log") == done.stdout.strip()
    assert shown("outputs") == "\n".join(f"{name}={value}" for name, value in told.items())
    assert shown("summary") == summary.replace(base, "1a2b3c…").strip()


def test_where_there_is_nothing_to_compare_with_everything_is_checked(tmp_path: Path) -> None:
    origin = Repository(tmp_path / "origin")
    origin.commit({"services.yaml": PLATFORM, "services/tasks/service.yaml": "version: 1\nreplica: 2\n"})
    clone = ["git", "clone", "--quiet", "--depth", "1", f"file://{origin.path}", str(tmp_path / "copy")]
    subprocess.run(clone, check=True, timeout=60)
    done, told, _ = run(tmp_path, RUN="check", CHECKED=str(tmp_path / "copy"), SINCE="f" * 40)
    assert (done.returncode, told) == (1, {"verdict": "failed"}), done.stderr
    assert "::warning title=reconciler::" in done.stdout
    assert "::error file=services/tasks/service.yaml,line=2" in done.stdout


def test_this_repository_uses_its_own_action() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/services.yml").read_text())["jobs"]
    given = [step.get("with", {}) for job in jobs.values() for step in job["steps"] if step["uses"] == "./"]
    assert [one.get("run", "check") for one in given] == ["check", "wait-for-sync"]
    assert all(one.keys() <= ACTION["inputs"].keys() for one in given)


def shown(name: str) -> str:
    """What the page shows of the same run."""
    page = (ROOT / "docs" / "forges.md").read_text()
    found = re.search(rf"<!-- action: {name} -->\n(`{{3,}})\w+\n(.*?)\n\1$", page, re.S | re.M)
    assert found is not None, f"no block shows the {name}"
    return found[2]


@pytest.fixture
def platform_with_two(platform: Platform) -> Platform:
    platform.commit({"services.yaml": PLATFORM, **service("tasks"), **service("notes")})
    return platform.start()


def wait_for(
    platform: Platform, folder: Path, sha: str, seconds: int = 60, **more: str
) -> tuple[int, str, dict[str, str]]:
    address = f"http://127.0.0.1:{platform.control_port}"
    given = {"RUN": "wait-for-sync", "SHA": sha, "SECONDS_AT_MOST": str(seconds)}
    server = {"RECONCILER_URL": address, "RECONCILER_TOKEN": platform.token}
    done, told, _ = run(folder, **{**given, **server, **more})
    return done.returncode, done.stdout, told


def test_waiting_for_a_commit(platform_with_two: Platform, tmp_path: Path) -> None:
    platform = platform_with_two
    code, said, told = wait_for(platform, tmp_path, platform.repository.head())
    assert (code, told["verdict"]) == (0, "live"), said
    assert "live: notes, tasks" in said

    platform.deploy({"services/tasks/router.py": "import nothing_like_it\n"})
    code, said, told = wait_for(platform, tmp_path, platform.repository.head())
    assert (code, told["verdict"]) == (1, "failed"), said
    assert "::error title=reconciler::tasks: ImportFailed: ModuleNotFoundError" in said

    platform.deploy({"services.yaml": f"{PLATFORM}mountt: /x\n"})
    code, said, told = wait_for(platform, tmp_path, platform.repository.head())
    assert (code, told["verdict"]) == (1, "failed"), said
    assert "::error title=reconciler::services.yaml:" in said and "there is no field `mountt`" in said

    code, said, told = wait_for(platform, tmp_path, "0" * 40, seconds=0)
    assert (code, told) == (3, {"verdict": "timeout"})
    assert f"the last one followed main@sha1:{platform.repository.head()}" in said


def test_what_cannot_be_asked_is_said_at_once(platform_with_two: Platform, tmp_path: Path) -> None:
    code, said, _ = wait_for(platform_with_two, tmp_path, "0" * 40, RECONCILER_TOKEN="rcl_wrong")
    assert (code, "401" in said) == (2, True), said
    code, said, _ = wait_for(platform_with_two, tmp_path, "0" * 40, RECONCILER_TOKEN="")
    assert (code, "id-token: write" in said) == (2, True), said
    code, said, _ = wait_for(platform_with_two, tmp_path, "0" * 40, RECONCILER_URL="file:///etc")
    assert code == 2
    code, said, _ = wait_for(platform_with_two, tmp_path, "0" * 40, SECONDS_AT_MOST="10m")
    assert (code, "`timeout` must be a number of seconds" in said) == (2, True), said
