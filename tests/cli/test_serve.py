"""`reconciler serve` as a whole, over a repository that holds no service yet."""

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from reconciler.data_folder import Address, read_address
from tests.cli.running import environment, executed
from tests.cli.test_local import git
from tests.waiting import until_sync


def test_an_empty_repository_is_served_and_ends_in_order(tmp_path: Path) -> None:
    repository, data = tmp_path / "repository", tmp_path / "data"
    repository.mkdir()
    git(repository, "init", "--initial-branch", "main")
    (repository / "services.yaml").write_text("version: 1\n")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "Nothing yet")
    flags = ("--data", str(data), "--port", "0", "--control-port", "0")
    with (tmp_path / "said").open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "reconciler.cli", "serve", *flags],
            cwd=repository,
            env=environment(),
            stderr=said,
            start_new_session=True,
        )
    try:
        until_sync(lambda: read_address(data), what="the address")
        address = read_address(data)
        assert address is not None
        until_sync(lambda: is_ready(address), within=30, what="the first sync finished")
        status = executed("status", "--data", str(data))
        assert (status.returncode, status.stderr) == (0, ""), status
        assert "0 services" in status.stdout
        second = executed("serve", *flags, cwd=repository)
        assert (second.returncode, len(second.stderr.splitlines())) == (2, 1)
        assert f"pid {server.pid}" in second.stderr
        children = children_of(server.pid)
        assert len(children) >= 2
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0, (tmp_path / "said").read_text()
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        assert read_address(data) is None
        assert "Traceback" not in (tmp_path / "said").read_text()
    finally:
        server.kill()
        server.wait()


def is_ready(address: Address) -> bool:
    try:
        with urllib.request.urlopen(f"{address.control}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def children_of(parent: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--github-app", "42", "--github-app-key", "key.pem"], "holds no private key as GitHub makes it"),
        (["--github-app", "42"], "go together"),
    ],
)
def test_an_app_that_could_prove_nothing_is_one_clear_line(tmp_path: Path, words: list[str], told: str) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN RSA PRIVATE KEY-----\nbm8=\n-----END RSA PRIVATE KEY-----\n")
    done = executed("serve", "--receive", *words, "--data", str(tmp_path / "data"), cwd=tmp_path)
    assert (done.returncode, told in done.stderr, len(done.stderr.splitlines())) == (2, True, 1), done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--receive", "--port", "0", "."], "it cannot follow . too"),
        (["--receive", "Tasks"], "'Tasks' is no name"),
        (["--receive", "../x"], "is no name"),
        (["--receive", "--branch=-x"], "cannot be followed"),
    ],
)
def test_a_repository_that_cannot_be_hosted_is_one_clear_line(tmp_path: Path, words: list[str], told: str) -> None:
    done = executed("serve", *words, "--data", str(tmp_path / "data"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done
    assert told in done.stderr


@pytest.mark.parametrize(
    ("asked", "answered", "told"),
    [
        pytest.param("*--exec-path", "/nonexistent", "git has no http-backend here", id="a package of its own"),
        pytest.param("*version", "git version 2.30.1", "git version 2.30.1 is too old for --receive", id="an old one"),
    ],
)
def test_a_git_that_cannot_host_is_said_at_the_start(tmp_path: Path, asked: str, answered: str, told: str) -> None:
    """Here it is a git that says so of itself."""
    git_program = shutil.which("git")
    wrapped = tmp_path / "bin" / "git"
    wrapped.parent.mkdir()
    wrapped.write_text(f'#!/bin/sh\ncase "$*" in {asked}) echo {answered};; *) exec {git_program} "$@";; esac\n')
    wrapped.chmod(0o755)
    flags = ("--receive", "--port", "0", "--control-port", "0", "--data", str(tmp_path / "data"))
    done = executed("serve", *flags, PATH=f"{wrapped.parent}:{os.environ['PATH']}")
    assert done.returncode == 2, done
    assert told in done.stderr
