"""Pushes that are cut off, come at a bad time, or are more than anybody should send."""

import os
import signal
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.pushing import backends, begin_push, hosted, push, ref
from tests.end_to_end.repository import Files
from tests.end_to_end.samples import PLATFORM, held_by, service
from tests.waiting import until_sync


def slow(version: str, brake: Path) -> Files:
    """A service that takes its time to start."""
    return service("slow", version, also=held_by(brake))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("cut-off"), template, receives=True) as made:
        made.commit({"services.yaml": PLATFORM, **service("tasks")})
        made.start()
        assert push(made).code == 0
        yield made


def request(platform: Platform, *headers: str) -> bytes:
    token = b64encode(f"x:{platform.token}".encode()).decode()
    lines = [
        "POST /git/services.git/git-receive-pack HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Basic {token}",
        "Content-Type: application/x-git-receive-pack-request", *headers, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def commands(platform: Platform, new: str, ref_name: str = "refs/heads/main") -> bytes:
    line = f"{ref(platform)} {new} {ref_name}\0 report-status side-band-64k agent=git/2".encode()
    return f"{len(line) + 4:04x}".encode() + line + b"0000"


def leftovers(platform: Platform) -> list[Path]:
    folder = hosted(platform)
    return [*folder.glob("objects/*incoming-*"), *folder.glob("**/*.lock"), *folder.glob("objects/pack/tmp_*")]


def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(server: Platform) -> None:
    before = ref(server)
    with socket.create_connection(("127.0.0.1", server.control_port), timeout=10) as client:
        client.sendall(
            request(server, "Content-Length: 1000000") + commands(server, "1" * 40) + b"PACK\0\0\0\2\0\0\0\1"
        )
        until_sync(lambda: backends(server), what="git at work")
    until_sync(lambda: not backends(server), what="the end of git")
    until_sync(lambda: not leftovers(server), what="nothing left over")
    assert ref(server) == before
    server.commit(service("tasks", "after the hang-up"))
    assert push(server).code == 0
    assert server.version("tasks") == "after the hang-up"


@pytest.mark.parametrize("pack", [b"PACK\0\0\0\2\0\0\0\1garbage" + b"x" * 40, b"no pack at all", b""])
def test_a_pack_that_is_corrupt_changes_nothing(server: Platform, pack: bytes) -> None:
    before = ref(server)
    body = commands(server, "1" * 40) + pack
    with socket.create_connection(("127.0.0.1", server.control_port), timeout=20) as client:
        client.sendall(request(server, f"Content-Length: {len(body)}", "Connection: close") + body)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"200 OK" in answer and b"unpack" in answer and b"ok refs/heads/main" not in answer
    assert ref(server) == before
    until_sync(lambda: not backends(server) and not leftovers(server), what="nothing left over")


def test_a_pusher_who_leaves_does_not_stop_the_deploy(server: Platform, brake: Path) -> None:
    server.commit(slow("1", brake))
    pushing = begin_push(server)
    until_sync(lambda: "slow         starting" in server.said(), what="the start")
    os.killpg(pushing.pid, signal.SIGINT)
    pushing.communicate(timeout=10)
    until_sync(lambda: not backends(server), what="the end of git")
    assert server.version("slow") == 503, "it takes its time"
    brake.unlink()
    until_sync(lambda: server.version("slow") == "1", what="the release")
    assert ref(server) == server.repository.git("rev-parse", "HEAD")


def test_a_pusher_who_does_not_listen_holds_up_nobody(server: Platform, brake: Path) -> None:
    sha = server.commit(slow("deaf", brake))
    pushing = begin_push(server)
    until_sync(lambda: ref(server) == sha, what="the branch to move")
    os.killpg(pushing.pid, signal.SIGSTOP)
    try:
        brake.unlink()
        until_sync(lambda: server.version("slow") == "deaf", what="the release")
        assert pushing.poll() is None
    finally:
        os.killpg(pushing.pid, signal.SIGCONT)
    assert b"slow is live at" in pushing.communicate(timeout=30)[0]


def test_a_push_while_control_restarts_waits_for_it(server: Platform) -> None:
    server.commit(service("tasks", "patient"))
    server.process("control").kill()
    pushed = push(server)
    assert pushed.code == 0, pushed.said
    assert server.version("tasks") == "patient"


def test_control_that_dies_in_the_middle_of_a_push_finishes_what_was_accepted(server: Platform, brake: Path) -> None:
    sha = server.commit(slow("2", brake))
    pushing = begin_push(server)
    until_sync(lambda: ref(server) == sha, what="the branch to move")
    server.kill("control")
    brake.unlink()
    said = pushing.communicate(timeout=30)[0]
    assert b"Not everything is live" not in said
    eventually(lambda: server.version("slow") == "2", within=30, what="the release")
    until_sync(lambda: not backends(server), what="the end of git")
    server.commit(service("tasks", "and on"))
    assert push(server).code == 0, "nothing is locked"
    assert server.version("tasks") == "and on"


def test_a_push_survives_a_start_of_everything(server: Platform) -> None:
    server.commit(service("tasks", "before the end"))
    assert push(server).code == 0
    assert server.stop() == 0
    server.start()
    assert server.version("tasks") == "before the end"
    server.commit(service("tasks", "after the end"))
    assert push(server).code == 0
    assert server.version("tasks") == "after the end"


def test_an_object_that_is_huge_is_not_held_in_memory(server: Platform) -> None:
    """It goes through in pieces: control grows by far less."""
    large = server.repository.path / "large.bin"
    with large.open("wb") as stream:
        for _ in range(48):
            stream.write(os.urandom(1 << 20))
    server.repository.git("-c", "core.compression=0", "add", "large.bin")
    server.repository.git("commit", "--quiet", "--message", "Something large")
    control = server.process("control").pid
    before = peak(control)
    done = push(server, within=120)
    assert done.code == 0, done.said
    assert peak(control) - before < 24 << 10, "kB"
    server.repository.git("rm", "--quiet", "large.bin")


def peak(pid: int) -> int:
    """The most memory it ever had, in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_a_repository_elsewhere_asks_for_the_same_from_its_own_hook(tmp_path: Path, template: Path) -> None:
    """A bare repository that people reach over SSH: its hook asks the server, and prints what it answers."""
    bare = tmp_path / "services.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], check=True)
    with Platform(tmp_path / "server", template, source=str(bare)) as platform:
        platform.commit({"services.yaml": PLATFORM, **service("tasks")})
        platform.repository.git("push", "--quiet", str(bare), "main")
        platform.start()
        hook = bare / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(
            "#!/bin/sh\nexec curl --silent --show-error --no-buffer --request POST "
            f"--header 'Authorization: Bearer {platform.token}' {platform.control.base_url}/v1/sync?tell=live\n"
        )
        hook.chmod(0o755)
        platform.commit(service("tasks", "2"))
        done = subprocess.run(
            ["git", "push", str(bare), "main"], cwd=platform.repository.path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert f"remote: -----> tasks is live at http://127.0.0.1:{platform.port}/api/tasks/" in done.stderr
        assert platform.version("tasks") == "2"
