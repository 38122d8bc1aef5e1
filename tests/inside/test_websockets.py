"""A connection that becomes a WebSocket, and when it ends."""

from tests.inside.stage import Client, Gateway, Worker
from tests.inside.tasks import get


def websocket(gateway: Gateway) -> Client:
    client = gateway.client(
        get(
            "/api/tasks/ws",
            Connection="Upgrade",
            Upgrade="websocket",
            Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        )
        + frame(b"early")
    )
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


def test_an_unknown_upgrade_is_an_ordinary_request(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/hello", Connection="Upgrade", Upgrade="h2c") + get("/api/tasks/hello"))
    assert [client.answer().status, client.answer().status] == [200, 200]
