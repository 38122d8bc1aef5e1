"""A connection that becomes a WebSocket, and when it ends."""

import pytest

from tests.inside.stage import Client, Gateway, Worker
from tests.inside.tasks import get, post
from tests.inside.test_requests import chunked

WISH = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def websocket(gateway: Gateway, **headers: str) -> Client:
    client = gateway.client(get("/api/tasks/ws", **WISH, **headers) + frame(b"early"))
    assert client.answer().status == 101
    assert read_frame(client) == (1, b"/api/tasks /api/tasks/ws")
    assert read_frame(client) == (1, b"EARLY")
    return client


def frame(text: bytes) -> bytes:
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


def read_frame(client: Client) -> tuple[int, bytes]:
    first, size = client._exactly(2)
    return first & 15, client._exactly(size)


def test_a_websocket_lives_until_the_drain_deadline_and_closes_with_1012(gateway: Gateway, worker: Worker) -> None:
    client = websocket(gateway)
    worker.retire(drain=3)
    worker.wire.next("state", state="draining")
    client.send(frame(b"still here"))
    assert read_frame(client) == (1, b"STILL HERE")
    assert read_frame(client) == (8, (1012).to_bytes(2, "big"))
    assert worker.stopped() == {"requests": 0, "tasks": 0, "websockets": 1, "calls": 0}
    assert worker.exited() == 0


def test_a_websocket_that_ends_in_time_is_not_cut(gateway: Gateway, worker: Worker) -> None:
    client = websocket(gateway)
    worker.retire(drain=10)
    client.sock.close()
    assert worker.stopped()["websockets"] == 0
    assert worker.exited() == 0


def test_a_websocket_may_announce_an_empty_body(gateway: Gateway) -> None:
    websocket(gateway, Content_Length="0")


def test_an_unknown_upgrade_is_an_ordinary_request(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/hello", Connection="Upgrade", Upgrade="h2c") + get("/api/tasks/hello"))
    assert [client.answer().status, client.answer().status] == [200, 200]


FRAMED = {
    "content-length": (b"abc", {"Content_Length": "3"}),
    "chunked": (chunked(b"abc"), {"Transfer_Encoding": "chunked"}),
}


@pytest.mark.parametrize(("body", "framing"), FRAMED.values(), ids=FRAMED.keys())
@pytest.mark.parametrize("wish", ["h2c", "websocket"])
def test_a_request_that_would_upgrade_keeps_its_body(
    gateway: Gateway, body: bytes, framing: dict[str, str], wish: str
) -> None:
    """Only a GET without a body opens a WebSocket."""
    head = post("/api/tasks/echo", b"", **framing, **WISH | {"Upgrade": wish})
    client = gateway.client(head + body + head)
    assert client.answer().json["size"] == 3
    client.send(body + get("/api/tasks/hello"))
    assert client.answer().json["size"] == 3
    assert client.answer().status == 200
