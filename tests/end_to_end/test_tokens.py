"""Access tokens through the command, a server that dies, and what is left on its disk."""

import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.platform import COMMAND, Platform, environ
from tests.end_to_end.samples import PLATFORM, service
from tests.waiting import until_sync


@pytest.fixture
def running(platform: Platform) -> Platform:
    platform.commit({"services.yaml": PLATFORM, **service("tasks"), **service("notes")})
    return platform.start()


def reconciler(platform: Platform, *words: str, token: str | None = None) -> "subprocess.CompletedProcess[str]":
    url = f"http://127.0.0.1:{platform.control_port}"
    given = {"RECONCILER_URL": url, "RECONCILER_TOKEN": token} if token else {"RECONCILER_DATA": str(platform.data)}
    return subprocess.run([*COMMAND, *words], env=environ(**given), capture_output=True, text=True, timeout=30)


def made(platform: Platform, *words: str) -> tuple[str, str]:
    """A token's id and the token itself."""
    done = reconciler(platform, "token", "create", *words)
    assert done.returncode == 0, done.stderr
    return done.stderr.partition(":")[0], done.stdout.strip()


def stored(folder: Path) -> str:
    return "".join(file.read_bytes().decode("latin-1") for file in folder.glob("journal.db*"))


def test_a_token_does_what_it_is_for_until_it_is_revoked(running: Platform) -> None:
    number, reader = made(running, "a screen on the wall", "--expires", "90d")
    _, deployer = made(running, "ci", "--scope", "deploy", "--service", "tasks")
    assert reconciler(running, "status", token=reader).returncode == 0
    refused = reconciler(running, "sync", token=reader)
    assert (refused.returncode, "`deploy`" in refused.stderr) == (2, True), refused.stderr
    assert reconciler(running, "restart", "tasks", token=deployer).returncode == 0
    other = reconciler(running, "restart", "notes", token=deployer)
    assert (other.returncode, "for tasks only" in other.stderr) == (2, True), other.stderr

    listed = reconciler(running, "token", "list").stdout
    assert f"{number}  good" in listed
    assert "ci, only tasks" in listed
    assert reader not in listed and reader not in running.said()

    running.kill("control")
    until_sync(running.is_ready, within=30, what="control")
    assert reconciler(running, "status", token=reader).returncode == 0, "it outlives the control that made it"

    assert reconciler(running, "token", "revoke", number).returncode == 0
    gone = reconciler(running, "status", token=reader)
    assert (gone.returncode, "does not know this token" in gone.stderr) == (2, True), gone.stderr
    audit = running.control.get("/v1/audit").json()["items"]
    assert ("ci", "POST /v1/services/tasks/restart", 200) in {
        (line["actor"], line["action"], line["status"]) for line in audit
    }
    running.stop(signal.SIGTERM)
    for token in (reader, deployer):
        assert token[-43:] not in stored(running.data)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("token", "create", "x", "--scope", "root"), "scopes"),
        (("token", "create", "x", "--expires", "soon"), "12h or 90d"),
        (("token", "revoke", "0123456789ab"), "no token 0123456789ab"),
    ],
)
def test_what_cannot_be_meant_is_one_line(running: Platform, words: tuple[str, ...], said: str) -> None:
    done = reconciler(running, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_the_printed_link_signs_a_browser_in(running: Platform) -> None:
    link = next(word.removeprefix("sign-in=") for word in running.said().split() if word.startswith("sign-in="))
    with httpx.Client(follow_redirects=False) as browser:
        answer = browser.get(link)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        base = f"http://127.0.0.1:{running.control_port}"
        assert browser.get(f"{base}/v1/status").status_code == 200
        assert browser.post(f"{base}/v1/sync").status_code == 403, "no page of ours asked"
        assert browser.post(f"{base}/v1/sync", headers={"Origin": base}).status_code == 202
        assert browser.get(link).status_code == 403, "it works once"
