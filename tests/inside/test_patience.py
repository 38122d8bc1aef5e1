"""How long a worker waits for a client: the real limits are minutes, so these tests shorten them."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from reconciler.inside import connection, gateways, patience, traffic
from reconciler.inside.connection import DISCARD_LIMIT, Connection
from reconciler.inside.drain import Drain
from reconciler.inside.gateways import Gateways
from reconciler.inside.head import HEAD_LIMIT, Head, read_head
from reconciler.inside.held import Held
from reconciler.inside.passing import UNREAD_LIMIT, channel_pair, send_connection
from reconciler.inside.traffic import Traffic
from tests.waiting import until

GET = b"GET /api/tasks/x HTTP/1.1\r\nHost: a\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def play(
    scenario: Callable[[Traffic, socket.socket], Awaitable[None]], app: Any = app, request_limit: float | None = None
) -> None:
    """With a client whose connection is held by a worker's traffic."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        rules: dict[str, Any] = {"service": "tasks", "prefix": "/api/tasks", "body_limit": None}
        busy = Traffic(app, {}, **rules, loop=loop, request_limit=request_limit)
        client, accepted = socket.socketpair()
        client.setblocking(False)
        transport, _ = await loop.connect_accepted_socket(lambda: Connection(busy), accepted)
        with client:
            await scenario(busy, client)
        if not transport.is_closing():
            transport.abort()
        busy.close()
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 30))


async def read(client: socket.socket) -> bytes:
    """Everything until the worker closes."""
    loop = asyncio.get_running_loop()
    data = b""
    while part := await loop.sock_recv(client, 65536):
        data += part
    return data


def test_a_head_that_does_not_end_is_answered_with_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.05)

    async def scenario(_: Traffic, client: socket.socket) -> None:
        client.send(GET[:20])
        answer = await read(client)
        assert answer.startswith(b"HTTP/1.1 408 ") and b'"code":"request_timeout"' in answer

    play(scenario)


def test_a_line_too_many_begins_no_request() -> None:
    async def scenario(busy: Traffic, client: socket.socket) -> None:
        for number in (1, 2):
            client.send(GET + b"\r\n")
            await until(lambda: busy.state.total_requests == number, what="the answer")  # noqa: B023
            # It is looked at in the turn after that of the answer.
            await asyncio.sleep(0)
            assert (busy.connections[0].unread, busy.connections[0].head_deadline) == (b"", None)

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


def test_an_idle_connection_is_not_closed_on_a_request_that_waits_to_be_read() -> None:
    async def scenario(busy: Traffic, client: socket.socket) -> None:
        client.send(GET)
        busy.connections[0].grow_older(traffic.IDLE_SECONDS, traffic.IDLE_SECONDS)
        assert (await asyncio.get_running_loop().sock_recv(client, 65536)).startswith(b"HTTP/1.1 200 ")

    play(scenario)


def test_a_client_that_ignores_its_last_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Held, "linger_seconds", 0.05)

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
    monkeypatch.setattr(Held, "linger_seconds", 0.05)
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


def answering(*parts: bytes, kind: bytes = b"text/plain", length: int | None = None) -> Any:
    """An application that begins its answer and never ends it. Notes how it was ended."""
    ends: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            if parts or length:
                headers = [(b"content-type", kind)]
                headers += [(b"content-length", str(length).encode())] if length else []
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    app.ends = ends  # type: ignore[attr-defined]
    return app


@pytest.mark.parametrize("app", [answering(), answering(length=3)], ids=["nothing", "a head that waits for its body"])
def test_a_request_without_an_answer_in_time_is_told_so_and_ended(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(busy: Traffic, client: socket.socket) -> None:
        failed = busy.failed
        shared(busy)
        client.send(GET)
        answer = await read(client)
        assert answer.startswith(b"HTTP/1.1 504 ") and b'"code":"timeout"' in answer and b"0.2 seconds" in answer
        await until(lambda: not busy.state.tasks, what="the end of the application")
        assert app.ends == ["cancelled"]
        assert (busy.failed - failed, busy.requests) == (1, 1)
        assert "The request took longer than timeout.request" in caplog.text

    play(scenario, app, request_limit=0.2)


def test_an_answer_that_does_not_end_in_time_is_cut() -> None:
    unended = answering(b"first")

    async def scenario(busy: Traffic, client: socket.socket) -> None:
        client.send(GET)
        with suppress(ConnectionResetError):
            assert not (await read(client)).endswith(b"0\r\n\r\n")
        await until(lambda: not busy.state.tasks, what="the end of the application")
        assert unended.ends == ["cancelled"]

    play(scenario, unended, request_limit=0.2)


def test_a_body_that_does_not_arrive_in_time_is_answered_with_408() -> None:
    async def reading(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def scenario(_: Traffic, client: socket.socket) -> None:
        client.send(UNSENT_BODY)
        assert (await read(client)).startswith(b"HTTP/1.1 408 ")

    play(scenario, reading, request_limit=0.2)


def test_a_stream_of_events_may_take_as_long_as_it_likes() -> None:
    async def scenario(busy: Traffic, client: socket.socket) -> None:
        client.send(GET)
        await until(lambda: busy.in_flight, what="the request")
        held = busy.connections[0]
        await until(lambda: held.age > 0.4, what="twice the time of a request")
        assert busy.in_flight == 1

    play(scenario, answering(b"data: x\n\n", kind=b"text/event-stream"), request_limit=0.2)


def test_each_request_of_a_kept_connection_has_its_own_time() -> None:
    async def scenario(busy: Traffic, client: socket.socket) -> None:
        held = busy.connections[0]
        for _ in range(3):
            client.send(GET)
            assert (await asyncio.get_running_loop().sock_recv(client, 65536)).startswith(b"HTTP/1.1 200 ")
            await until(lambda: held.age > 0.1, what="half the time of a request")

    play(scenario, request_limit=0.2)


def test_what_a_dead_gateway_had_sent_is_answered_when_the_drain_ends() -> None:
    async def scenario(busy: Traffic, _: socket.socket) -> None:
        client, accepted = socket.socketpair()
        client.setblocking(False)
        ours = attached(busy)
        busy.retire()
        with client, accepted:
            # Between the drain's last look and its end.
            send_connection(ours, accepted.fileno(), GET)
            ours.close()
            await Drain(busy, busy.gateways, None).carry_out(lambda: 0.0)
            accepted.close()
            assert (await read(client)).startswith(b"HTTP/1.1 503 ")

    play(scenario)


def test_what_waits_to_go_back_at_the_end_of_a_drain_is_counted() -> None:
    async def scenario(busy: Traffic, client: socket.socket) -> None:
        busy.gateways = Gateways(busy)
        held = shared(busy)
        held.unread = GET
        cut = await Drain(busy, busy.gateways, None).carry_out(lambda: 0.0)
        assert cut["requests"] == 1
        assert (await read(client)).startswith(b"HTTP/1.1 503 ")

    play(scenario)
