"""How much, and how long, a git client may send: a real client and a real git, with smaller limits."""

import asyncio
import os
import socket
import struct
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from reconciler.api import Access, build, doorway, git
from reconciler.source.backend import Backend, Call, Client
from reconciler.source.hooks import Line
from reconciler.source.hosted import Bounds, Hosted
from tests.api.asking import TOKEN
from tests.api.platform import Still
from tests.end_to_end.pushing import git as run_git
from tests.end_to_end.repository import Repository
from tests.waiting import until_sync

MOST = 300_000


class Accepting:
    """A remote that accepts whatever git accepts."""

    name = "services"
    elsewhere = ""

    def __init__(self, hosted: Hosted) -> None:
        self.hosted = hosted
        self.backend = Backend(hosted)
        self.under_way = 0

    async def serve(self, call: Call, client: Client) -> None:
        self.under_way += 1
        try:
            await self.backend.run(call, client, accept)
        finally:
            self.under_way -= 1


async def accept(line: Line) -> None:
    async for _ in line.questions():
        await line.end(well=True)


class Server:
    """The control plane's application in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.hosted = Hosted(folder, "services", "main", "http://here", bounds=Bounds(pack_bytes=MOST))
        self.remote = Accepting(self.hosted)
        platform = Still()
        platform.remote = self.remote
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        config = uvicorn.Config(build(platform, Access(TOKEN)), log_config=None, http="httptools", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=asyncio.run, args=(self._run(),))

    async def _run(self) -> None:
        await self.hosted.open()
        await self.server.serve([self.listener])
        await self.hosted.close()

    def connected(self, *headers: str) -> socket.socket:
        """A client that has sent the head of a push."""
        token = b64encode(f"x:{TOKEN}".encode()).decode()
        lines = [
            "POST /git/services.git/git-receive-pack HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Basic {token}",
            "Content-Type: application/x-git-receive-pack-request", *headers, "", "",
        ]  # fmt: skip
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        client.sendall("\r\n".join(lines).encode())
        return client

    def is_quiet(self) -> bool:
        return self.remote.under_way == 0 and not [*self.hosted.quarantines()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "git")
    made.thread.start()
    until_sync(lambda: made.server.started, what="the server")
    yield made
    made.server.should_exit = True
    made.thread.join(20)


def test_a_push_above_the_limit_is_refused_by_git_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    address = f"http://x:{TOKEN}@127.0.0.1:{server.port}/git/services.git"
    repository.commit({"small.txt": "small"})
    assert run_git(repository.path, "push", address, "main").code == 0
    (repository.path / "large.bin").write_bytes(os.urandom(MOST + 2_000_000))
    repository.commit({})
    pushed = run_git(repository.path, "push", address, "main")
    assert pushed.code == 1
    assert "pack exceeds maximum allowed size" in pushed.said
    until_sync(server.is_quiet, what="nothing left")
    head = subprocess.run(
        ["git", "log", "--oneline", "main"], cwd=server.hosted.folder, capture_output=True, text=True, check=True
    )
    assert len(head.stdout.splitlines()) == 1


def test_whoever_sends_without_end_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorway, "PUSH_LIMIT", 1_000_000)
    with server.connected("Transfer-Encoding: chunked") as client:
        sent = 0
        with pytest.raises(OSError):
            while sent < 200_000_000:
                client.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000
    assert sent < 100_000_000
    until_sync(server.is_quiet, what="the end of git")


def test_a_pack_far_too_large_is_refused_by_git_and_held_by_nobody(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """From somebody who goes on sending whatever git says. Two gigabytes take the same way, and half a minute."""
    before, said = peak(), b""
    with server.connected("Transfer-Encoding: chunked") as client:
        for piece in large_pack():
            client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        client.sendall(b"0\r\n\r\n")
        while not said.endswith(b"\r\n0\r\n\r\n"):
            said += client.recv(65536)
    assert b"pack exceeds maximum allowed size" in said
    assert peak() - before < 32 << 10, "kB, of client and server together"
    until_sync(server.is_quiet, what="nothing left")
    assert not [record for record in caplog.records if record.name == "asyncio"], "it is said once"


def large_pack() -> Iterator[bytes]:
    """One object that nothing can compress, said to have three gigabytes; two hundred megabytes of it."""
    command = f"{'0' * 40} {'1' * 40} refs/heads/main\0 report-status side-band-64k agent=git/2".encode()
    size = 3 << 30
    header = bytearray([0x80 | 3 << 4 | size & 15])
    rest = size >> 4
    while rest > 0x7F:
        header.append(0x80 | rest & 0x7F)
        rest >>= 7
    header.append(rest)
    yield b"%04x%b0000" % (len(command) + 4, command) + b"PACK" + struct.pack(">II", 2, 1) + header + b"\x78\x01"
    stored = b"\0" + struct.pack("<HH", 0xFFFF, 0) + os.urandom(0xFFFF)
    for _ in range(3_000):
        yield stored


def peak() -> int:
    """The most memory that this process ever had, in kB."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def test_whoever_stops_sending_is_let_go_of(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "IDLE", 0.2)
    with server.connected("Content-Length: 100000") as client:
        client.sendall(b"0000")
        while client.recv(65536):
            """Whatever git said until then."""
    until_sync(server.is_quiet, what="the end of git")
