"""A server that applies only what somebody on the operator's list has signed."""

import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.platform import COMMAND, Platform, environ, eventually
from tests.end_to_end.pushing import push, ref
from tests.end_to_end.repository import Files
from tests.end_to_end.samples import PLATFORM, service
from tests.source.signing import Signer, install_what_is_missing, ssh_signer


@pytest.fixture
def ada(tmp_path: Path) -> Signer:
    install_what_is_missing()
    return ssh_signer(tmp_path, "ada")


def listing(platform: Platform, signer: Signer) -> Platform:
    file = platform.folder / "signers"
    file.write_text(signer.listed)
    platform.flags = (*platform.flags, "--signers", str(file))
    return platform


def sign(platform: Platform, signer: Signer, files: Files) -> str:
    """A signed commit of these files."""
    platform.commit(files)
    platform.repository.git("reset", "--quiet", "--soft", "HEAD~1")
    return signer.commit(platform.repository, "Signed")


def source(platform: Platform) -> tuple[str, str]:
    condition = platform.status()["source"]["condition"]
    return str(condition["reason"]), str(condition["message"])


def test_what_is_not_signed_is_not_applied_and_everything_keeps_running(platform: Platform, ada: Signer) -> None:
    platform.commit({"services.yaml": PLATFORM})
    sign(platform, ada, service("tasks", "1"))
    listing(platform, ada).start()
    assert platform.version("tasks") == "1", "the first commit is judged alone"
    bad = platform.commit(service("tasks", "2"))
    told = platform.sync()
    assert (told["state"], str(told["revision"]).endswith(bad)) == ("failed", True)
    reason, message = source(platform)
    assert (reason, f"Commit {bad[:8]} is not signed" in message) == ("SourceUnavailable", True)
    assert platform.version("tasks") == "1"
    assert str(platform.status()["revision_attempted"]).endswith(bad)
    planned = platform.control.get("/v1/plan").json()
    assert (planned["actions"], "is not signed" in planned["message"]) == ([], True), "a plan would run it"

    sign(platform, ada, service("tasks", "3"))
    assert platform.sync()["state"] == "failed", "the range still holds the bad one"
    platform.kill("control")
    eventually(lambda: f"Commit {bad[:8]}" in source(platform)[1], within=20, what="the same after a restart")
    assert platform.version("tasks") == "1"

    platform.repository.git("reset", "--quiet", "--hard", "HEAD~2")
    sign(platform, ada, service("tasks", "4"))
    assert platform.sync()["state"] == "done"
    assert (platform.version("tasks"), source(platform)[0]) == ("4", "Live")


def test_a_push_that_is_not_signed_is_declined(platform: Platform, ada: Signer) -> None:
    platform.receives = True
    listing(platform, ada).start()
    platform.commit({"services.yaml": PLATFORM})
    first = sign(platform, ada, service("tasks", "1"))
    assert push(platform).code == 0
    assert platform.version("tasks") == "1"
    bad = platform.commit(service("tasks", "2"))
    sign(platform, ada, service("tasks", "3"))
    declined = push(platform)
    assert (declined.code, ref(platform)) == (1, first), declined.said
    assert f"Commit {bad[:8]} is not signed" in declined.remote
    assert " ! [remote rejected] main -> main (pre-receive hook declined)" in declined.lines
    assert push(platform, "main:side").code == 0, "another branch is nothing that runs"
    assert platform.version("tasks") == "1"


def test_a_list_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    for file, why in (
        (tmp_path / "none", "cannot be read"),
        (tmp_path, "cannot be read"),
        (tmp_path / "empty", "nobody"),
    ):
        if file.name == "empty":
            file.write_text("# nobody yet\n")
        words = ["serve", "--receive", "--signers", str(file), "--data", str(tmp_path / "data")]
        done = subprocess.run([*COMMAND, *words], env=environ(), capture_output=True, text=True, timeout=60)
        assert (done.returncode, why in done.stderr) == (2, True), done.stderr
