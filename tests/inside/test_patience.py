"""How long a worker waits for a client: the real limits are minutes, so these tests shorten them."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from reconciler.inside import connection, gateways, traffic
from reconciler.inside.connection import DISCARD_LIMIT, Connection
from reconciler.inside.gateways import Gateways
from reconciler.inside.head import HEAD_LIMIT, Head, read_head
from reconciler.inside.passing import UNREAD_LIMIT, channel_pair, send_connection
from reconciler.inside.traffic import Traffic
from tests.waiting import until

GET = b"GET /api/tasks/x HTTP/1.1\r\nHost: a\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def play(scenario: Callable[[Traffic, socket.socket], Awaitable[None]], app: Any = app) -> None:
    """With a client whose connection is held by a worker's traffic."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        busy = Traffic(app, {}, service="tasks", prefix="/api/tasks", body_limit=None, loop=loop)
        client, accepted = socket.socketpair()
        client.setblocking(False)
        transport, _ = await loop.connect_accepted_socket(lambda: Connection(busy), accepted)
        with client:
            await scenario(busy, client)
        transport.abort()
        busy.close()
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 10))


async def read(client: socket.socket) -> bytes:
    """Everything until the worker closes."""
    loop = asyncio.get_running_loop()
    data = b""
    while part := await loop.sock_recv(client, 65536):
        data += part
    return data


def test_a_head_that_does_not_end_is_answered_with_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)

    async def scenario(_: Traffic, client: socket.socket) -> None:
        client.send(GET[:20])
        answer = await read(client)
        assert answer.startswith(b"HTTP/1.1 408 ") and b'"code":"request_timeout"' in answer

    play(scenario)


def test_an_idle_connection_is_closed_but_never_a_busy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(traffic, "IDLE_SECONDS", 0.05)

    async def scenario(busy: Traffic, client: socket.socket) -> None:
        client.send(GET)
        answer = await read(client)
        assert answer.startswith(b"HTTP/1.1 200 ") and b"connection: close" not in answer
        assert busy.connections == ()

    play(scenario)


def test_a_client_that_ignores_its_last_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.05)

    async def scenario(busy: Traffic, client: socket.socket) -> None:
        client.send(b"nonsense\r\n\r\n")
        assert (await read(client)).startswith(b"HTTP/1.1 400 ")
        await until(lambda: not busy.connections, what="the end of the connection")

    play(scenario)


def test_what_no_gateway_takes_back_is_told_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "GATEWAY_SECONDS", 0.05)

    async def scenario(busy: Traffic, _: socket.socket) -> None:
        busy.gateways = Gateways(busy)
        ours, theirs = channel_pair()
        busy.gateways.attach(theirs.detach())
        client, accepted = socket.socketpair()
        client.setblocking(False)
        with client, ours, accepted:
            client.send(b"GET /api/other HTTP/1.1\r\nHost: a\r\n\r\n")
            send_connection(ours, accepted.fileno(), b"")
            ours.close()
            accepted.close()
            answer = await read(client)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in answer

    play(scenario)


def attached(busy: Traffic) -> socket.socket:
    """The gateway's end of a channel to this traffic."""
    busy.gateways = Gateways(busy)
    ours, theirs = channel_pair()
    busy.gateways.attach(theirs.detach())
    return ours


def shared(busy: Traffic) -> Connection:
    """The client's connection, as if a gateway had given it."""
    held = busy.connections[0]
    held.fd = held.transport.get_extra_info("socket").fileno()
    return held


def test_what_a_dead_gateway_had_sent_is_served_though_the_worker_first_meets_its_death() -> None:
    async def scenario(busy: Traffic, _: socket.socket) -> None:
        held = shared(busy)
        client, accepted = socket.socketpair()
        client.setblocking(False)
        with client, accepted, attached(busy) as ours:
            send_connection(ours, accepted.fileno(), GET)
            accepted.close()
            ours.close()
            busy.give_back(held)
            answer = await asyncio.get_running_loop().sock_recv(client, 65536)
        assert answer.startswith(b"HTTP/1.1 200 ")

    play(scenario)


def test_a_head_that_arrives_byte_by_byte_is_not_read_at_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(data: bytes) -> Head | None:
        sizes.append(len(data))
        return read_head(data)

    monkeypatch.setattr(connection, "read_head", counted)

    async def scenario(busy: Traffic, client: socket.socket) -> None:
        held = busy.connections[0]
        for number in GET:
            held.data_received(bytes([number]))
        assert (await asyncio.get_running_loop().sock_recv(client, 65536)).startswith(b"HTTP/1.1 200 ")
        assert sizes == [1, len(GET)]

    play(scenario)


def test_a_head_that_arrives_byte_by_byte_is_refused_once_it_is_too_long() -> None:
    async def scenario(busy: Traffic, client: socket.socket) -> None:
        held = busy.connections[0]
        held.data_received(GET[:-2] + b"X: ")
        for _ in range(HEAD_LIMIT):
            held.data_received(b"x")
        assert (await read(client)).startswith(b"HTTP/1.1 431 ")

    play(scenario)


async def polling(scope: Any, receive: Any, send: Any) -> None:
    """Look again and again whether the client is still there, as one does between events."""
    message = {"type": "http.request"}
    while message["type"] != "http.disconnect":
        with suppress(TimeoutError):
            message = await asyncio.wait_for(receive(), 0.001)


def test_a_client_that_sends_on_and_on_while_it_is_answered_is_cut() -> None:
    async def scenario(busy: Traffic, client: socket.socket) -> None:
        with pytest.raises(ConnectionError):
            await asyncio.get_running_loop().sock_sendall(client, GET + bytes(8 * DISCARD_LIMIT))
        await until(lambda: not busy.connections and not busy.state.tasks, what="the end of the request")

    play(scenario, polling)


def test_a_connection_with_more_unread_bytes_than_can_travel_is_cut() -> None:
    async def scenario(busy: Traffic, _: socket.socket) -> None:
        held = shared(busy)
        with attached(busy):
            held.unread = bytes(UNREAD_LIMIT + 1)
            busy.give_back(held)
            await until(lambda: not busy.connections, what="the end of the connection")
            assert busy.gateways is not None and busy.gateways.is_idle

    play(scenario)


UNSENT_BODY = b"POST /api/tasks/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"


def test_a_body_that_never_comes_is_not_waited_for_once_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "SWEEP_SECONDS", 0.02)

    async def scenario(busy: Traffic, client: socket.socket) -> None:
        client.send(UNSENT_BODY)
        assert (await read(client)).startswith(b"HTTP/1.1 200 ")
        assert not busy.in_flight

    play(scenario)


@pytest.mark.parametrize("retired_first", [False, True])
def test_a_body_that_never_comes_does_not_hold_up_a_retirement(
    monkeypatch: pytest.MonkeyPatch, retired_first: bool
) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.05)
    begun, wanted = asyncio.Event(), asyncio.Event()

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await wanted.wait()
        await app(scope, receive, send)

    async def scenario(busy: Traffic, client: socket.socket) -> None:
        client.send(UNSENT_BODY)
        await begun.wait()
        if retired_first:
            busy.retire()
        wanted.set()
        await until(lambda: busy.state.total_requests, what="the answer")
        if not retired_first:
            busy.retire()
        assert (await read(client)).startswith(b"HTTP/1.1 200 ")
        await until(lambda: not busy.connections, what="the end of the connection")

    play(scenario, waiting)


def test_what_waits_for_a_gateway_expires_again_once_a_parked_worker_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "GATEWAY_SECONDS", 0.05)

    async def scenario(busy: Traffic, client: socket.socket) -> None:
        busy.gateways = Gateways(busy)
        held = shared(busy)
        held.unread = GET
        busy.retire()
        assert not busy.gateways.is_idle
        busy.resume()
        assert (await read(client)).startswith(b"HTTP/1.1 503 ")
        assert busy.gateways.is_idle

    play(scenario)
