"""HTTP through the public door: every kind of request, and what becomes of connections at a switch."""

import asyncio
import hashlib
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import websockets
import websockets.sync.client

from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import held_by, service
from tests.end_to_end.traffic import Connection, Tally
from tests.waiting import until_sync

BODIES = """

import hashlib


@router.put("/hash")
async def fingerprint(request: Request):
    digest = hashlib.sha256()
    async for chunk in request.stream():
        digest.update(chunk)
    return digest.hexdigest()


@router.get("/lifetime")
async def lifetime():
    return {"version": VERSION, "folder": os.getcwd()}
"""


@pytest.fixture(scope="module")
def door(shared: Platform) -> Iterator[Platform]:
    shared.deploy({**service("a", also=BODIES), **service("b", also=BODIES)})
    yield shared


def talk(platform: Platform, *pieces: bytes) -> bytes:
    """Send pieces one after another on one connection; everything that came back until the other side closed."""
    with socket.create_connection(("127.0.0.1", platform.port), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def get(path: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: test", *lines, "", ""]).encode()


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


CLOSE = "Connection: close"


def test_a_pipeline_over_two_services_is_answered_in_order(door: Platform) -> None:
    paths = ["/api/a/version", "/api/b/version", "/api/nobody/version", "/api/a/version"]
    answers = talk(door, b"".join(map(get, paths)) + get("/api/b/version", CLOSE))
    assert statuses(answers) == [200, 200, 404, 200, 200], answers
    assert len(set(answers.split(b'"pid":')[1:])) >= 2


def test_http_1_0_is_answered_and_closed(door: Platform) -> None:
    answer = talk(door, get("/api/a/version", version="1.0"))
    assert answer.split(b"\r\n", 1)[0].split()[1] == b"200"
    assert answer.endswith(b"}")


def test_a_head_that_comes_byte_by_byte_is_understood(door: Platform) -> None:
    request = get("/api/a/version", CLOSE)
    assert b"200 OK" in talk(door, *(request[i : i + 1] for i in range(len(request))))


def test_expect_100_continue_is_answered_before_the_body(door: Platform) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        head = f"PUT /api/a/hash HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n{CLOSE}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hello")
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    assert hashlib.sha256(b"hello").hexdigest().encode() in answer


def test_a_large_upload_arrives_as_it_was_sent(door: Platform) -> None:
    body = bytes(range(256)) * 40_000
    answer = door.services.put("/api/a/hash", content=body)
    assert answer.json() == hashlib.sha256(body).hexdigest()


def test_a_slow_chunked_upload_goes_on_over_a_release(door: Platform) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"first "
        door.deploy(service("a", "during", also=BODIES))
        yield b"second"

    with httpx.Client(base_url=f"http://127.0.0.1:{door.port}", timeout=30) as client:
        answer = client.put("/api/a/hash", content=pieces())
    assert answer.json() == hashlib.sha256(b"first second").hexdigest()


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        (b"GET /api/a/version HTTP/1.1\r\n\r\n", {400}),
        (b"GET /api/a/version HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", {400}),
        (
            b"POST /api/a/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            {400},
        ),
        (b"POST /api/a/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", {400}),
        (b"GET /api/../secret HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"GET /api/a%2fversion HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", {400, 405, 501}),
        (b"GET /api/a/version HTTP/1.1\nHost: x\n\n", {400}),
        (b"GET /api/a/version HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", {431}),
        (b"GET /api/a/" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {414, 431}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60, {400}),
    ],
    ids=[
        "no host",
        "two hosts",
        "length and chunked",
        "two lengths",
        "dot segments in the prefix",
        "an escaped slash in the prefix",
        "CONNECT",
        "bare line feeds",
        "a head too large",
        "a target too long",
        "TLS on a plain port",
    ],
)
def test_an_unclear_request_is_refused_and_never_routed(door: Platform, request_: bytes, statuses: set[int]) -> None:
    answer = talk(door, request_)
    assert int(answer.split()[1]) in statuses, answer[:200]


def test_the_second_request_of_a_connection_is_checked_as_strictly(door: Platform) -> None:
    smuggled = (
        b"POST /api/a/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    answer = talk(door, get("/api/a/version") + smuggled + get("/api/a/version"))
    assert statuses(answer) == [200, 400], answer


def test_a_name_that_only_begins_like_a_service_is_unknown(door: Platform) -> None:
    assert door.version("ab") == 404
    assert door.services.get("/apix/a/version").status_code == 404
    assert door.services.get("/").status_code == 404


def talking(platform: Platform, name: str) -> websockets.sync.client.ClientConnection:
    return websockets.sync.client.connect(f"ws://127.0.0.1:{platform.port}/api/{name}/talk")


def test_a_websocket_lives_on_over_a_release_and_ends_with_1012_at_the_deadline(door: Platform) -> None:
    door.deploy(service("socket", "1", manifest="drain: 5s\n"))
    with talking(door, "socket") as old:
        old.send("hello")
        assert old.recv(5) == "1 hello"
        door.deploy(service("socket", "2", manifest="drain: 5s\n"))
        old.send("still there?")
        assert old.recv(5) == "1 still there?"
        with talking(door, "socket") as new:
            new.send("hello")
            assert new.recv(5) == "2 hello"
        with pytest.raises(websockets.ConnectionClosed) as closed:
            old.recv(30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


def test_server_sent_events_arrive_one_by_one(door: Platform) -> None:
    with door.services.stream("GET", "/api/b/events", params={"count": 3, "every": 0.2}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: 1 0"
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert [line for line in lines if line] == ["data: 1 1", "data: 1 2"]


def test_a_connection_that_says_nothing_harms_nobody(door: Platform) -> None:
    silent = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(200)]
    try:
        assert door.version("b") == "1"
    finally:
        for connection in silent:
            connection.close()


def test_a_client_that_leaves_in_the_middle_harms_nobody(door: Platform) -> None:
    for size in (1, 20, 60):
        with socket.create_connection(("127.0.0.1", door.port)) as connection:
            connection.sendall(get("/api/b/version", "Content-Length: 100")[:size])
    assert door.version("b") == "1"


def test_requests_that_wait_for_a_first_release_are_told_to_come_back(door: Platform, brake: Path) -> None:
    door.commit(service("late", also=held_by(brake)))
    with ThreadPoolExecutor(1) as pool:
        syncing = pool.submit(door.sync)
        seen = until_sync(lambda: (door.version("late") == 503) or None, what="503 while it starts")
        assert seen
        brake.unlink()
        assert syncing.result(30)["state"] == "done"
    assert door.version("late") == "1"


def test_many_at_once(door: Platform) -> None:
    async def ask_all() -> list[int]:
        connections = [Connection(door.port, Tally()) for _ in range(300)]
        answers = await asyncio.gather(
            *(each.ask("GET", f"/api/{'ab'[n % 2]}/version") for n, each in enumerate(connections))
        )
        for connection in connections:
            await connection.close()
        return [status for status, _ in answers]

    assert set(asyncio.run(ask_all())) == {200}
