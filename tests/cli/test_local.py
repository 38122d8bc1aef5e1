"""The commands that need no server."""

import json
import os
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path

import pytest

from reconciler.cli.repository import Followed, find
from tests.cli.running import environment, executed, reconciler

HEAVY = ("fastapi", "pydantic", "sqlalchemy", "starlette", "httpx", "git", "yaml", "rich")


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--initial-branch", "trunk")
    return folder


def test_client_commands_import_nothing_heavy() -> None:
    code = f"import sys; import reconciler.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_names_every_command_at_once() -> None:
    best = 9.0
    for _ in range(3):
        began = time.process_time() + os.times().children_user + os.times().children_system
        done = executed("--help")
        best = min(best, time.process_time() + os.times().children_user + os.times().children_system - began)
    assert done.returncode == 0
    for command in ("serve", "status", "sync", "plan", "logs", "history", "schema", "doctor", "new"):
        assert f"\n  {command} " in done.stdout
    assert best < 1.0, "seconds of processor time"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["status", "--nope"],
        ["schema", "nope"],
        ["serve", "--port", "70000"],
        ["history", "--limit", "0"],
        [],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert reconciler(*arguments).returncode == 2


def test_version() -> None:
    assert executed("--version").stdout.startswith("reconciler 0.")


@pytest.mark.parametrize("kind", ["services", "service"])
def test_schemas_are_printed(kind: str) -> None:
    assert json.loads(reconciler("schema", kind).stdout)["$schema"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no/such/folder"], "does not exist"),
        (["."], "is no git repository"),
        (["ext::sh -c id"], "refused"),
        (["--", "--upload-pack=x"], "refused"),
        (["file:///etc"], "refused"),
        ([".", "--poll", "60"], "is no duration"),
        ([".", "--poll", "0s"], "is no duration"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = reconciler("serve", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".reconciler").exists()


def test_a_detached_head_needs_a_branch(repository: Path) -> None:
    git(repository, "commit", "--allow-empty", "-m", "x")
    git(repository, "checkout", "--detach")
    done = reconciler("serve", cwd=repository)
    assert done.returncode == 2
    assert "is at no branch" in done.stderr


def test_the_default_is_the_current_branch_of_the_repository_around(repository: Path) -> None:
    (repository / "deep").mkdir()
    git(repository, "clone", "--bare", ".", str(repository.parent / "bare.git"))
    with chdir(repository / "deep"):
        assert find(".", None) == Followed(str(repository), "trunk")
        assert find("..", "other") == Followed(str(repository), "other")
        assert find("../../bare.git", None) == Followed(str(repository.parent / "bare.git"), "trunk")


def test_a_url_that_does_not_answer_asks_for_a_branch() -> None:
    done = reconciler("serve", "http://user:hunter2@127.0.0.1:1/x.git")
    assert done.returncode == 2
    assert "name one with --branch" in done.stderr
    assert "hunter2" not in done.stderr


def test_new_makes_a_service_where_services_are(repository: Path) -> None:
    (repository / "services.yaml").write_text("version: 1\nservices: apps/api/*\n")
    (repository / "deep").mkdir()
    done = reconciler("new", "my-tasks", cwd=repository / "deep")
    assert done.returncode == 0
    folder = repository / "apps/api/my-tasks"
    assert {file.name for file in folder.iterdir()} == {"router.py", "service.yaml", "tests.yaml"}
    again = reconciler("new", "my-tasks", cwd=repository)
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)


def test_new_in_an_empty_repository_makes_the_platform_too(repository: Path) -> None:
    assert reconciler("new", "tasks", cwd=repository).returncode == 0
    assert (repository / "services.yaml").exists()
    compile((repository / "services/tasks/router.py").read_text(), "router.py", "exec")


@pytest.mark.parametrize("name", ["Tasks", "1st", "../x", "a" * 64, "-x", "a b"])
def test_new_refuses_names_that_are_none(repository: Path, name: str) -> None:
    done = reconciler("new", "--", name, cwd=repository)
    assert done.returncode == 2
    assert not (repository / "services").exists()


def test_new_names_the_place_of_a_mistake(repository: Path) -> None:
    (repository / "services.yaml").write_text("version: 1\nservcies: x/*\n")
    done = reconciler("new", "tasks", cwd=repository)
    assert done.returncode == 2
    assert "services.yaml:2" in done.stderr


def test_doctor_looks_at_everything(tmp_path: Path) -> None:
    done = reconciler("doctor", "--port", "0", "--control-port", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    for word in ("python", "git", "uv", "sqlite", "open files", "disk", "port"):
        assert f"  {word} " in done.stdout


def test_doctor_does_not_promise_more_than_there_is(tmp_path: Path) -> None:
    done = reconciler("doctor", "--port", "0", "--control-port", "0", cwd=tmp_path)
    lines = done.stdout.splitlines()
    (isolation,) = [line for line in lines if "  isolation " in line]
    assert isolation.lstrip().startswith("!"), isolation
    assert "the admin token" in " ".join(done.stdout.split())
    assert "landlock" not in done.stdout
    (user,) = [line for line in lines if "  user " in line]
    assert user.lstrip().startswith("!") is (os.geteuid() == 0), user
