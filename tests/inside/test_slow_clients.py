"""Who takes his answer slowly gets all of it, however the connection is to go on; who takes nothing of it is cut."""

import asyncio
import socket
from typing import Any

import pytest

from reconciler.inside import traffic
from reconciler.inside.connection import DISCARD_LIMIT
from reconciler.inside.held import LEAVING, Held
from reconciler.inside.traffic import IDLE_SECONDS, SWEEP_SECONDS, Traffic
from tests.inside.test_patience import GET, attached, play, read, shared
from tests.waiting import until

UPLOAD = b"POST /api/tasks/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n"
LAST = {
    "closed by the client's wish": GET[:-2] + b"Connection: close\r\n\r\n",
    "closed for a body that was not asked for": UPLOAD % (3, b"Expect: 100-continue\r\n"),
    "closed for a body that is too long to wait for": UPLOAD % (DISCARD_LIMIT + 1, b""),
    "kept": GET,
}
SIZE = 4 * 1024 * 1024


async def flooding(scope: Any, receive: Any, send: Any) -> None:
    """More than the client's window holds, all at once."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytes(SIZE)})


@pytest.mark.parametrize("sent", LAST.values(), ids=LAST.keys())
def test_an_answer_that_is_taken_slowly_arrives_whole(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(Held, "linger_seconds", 0.01)

    async def scenario(busy: Traffic, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        client.send(sent)
        held = busy.connections[0]
        await until(held.transport.get_write_buffer_size, what="an answer that is not read")
        got = b""
        while held.transport.get_write_buffer_size():
            for _ in range(5):
                held.grow_older(SWEEP_SECONDS, IDLE_SECONDS)
            await asyncio.sleep(2 * Held.linger_seconds)
            got += await loop.sock_recv(client, SIZE)
        held.transport.close()
        got += await read(client)
        assert got.count(b"\0") == SIZE

    play(scenario, flooding, request_limit=SWEEP_SECONDS)


@pytest.mark.parametrize("then", ["stays", "asks for another's", "is closed"])
def test_a_client_that_does_not_read_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    monkeypatch.setattr(traffic, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(traffic, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(Held, "linger_seconds", 0.05)

    async def scenario(busy: Traffic, client: socket.socket) -> None:
        with attached(busy):
            held = shared(busy)
            client.send(GET)
            await until(held.transport.get_write_buffer_size, what="an answer that is not read")
            if then == "asks for another's":
                client.send(b"GET /api/other HTTP/1.1\r\nHost: a\r\n\r\n")
                await until(lambda: held.stage == LEAVING, what="the connection to leave")
            elif then == "is closed":
                held.transport.close()
            await until(lambda: not busy.connections and not busy.state.connections, what="its end")

    play(scenario, flooding)
