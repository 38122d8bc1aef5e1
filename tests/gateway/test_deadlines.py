"""Clients that are slow or silent: they wait under a deadline, cost nothing, and keep nobody else waiting."""

import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.gateway.neighbours import Client, Gateway, Worker, count, get, request, serving
from tests.waiting import until_sync


@pytest.fixture(scope="module")
def hasty() -> Iterator[tuple[Gateway, Worker]]:
    with serving("--head-deadline", "0.3", "--idle-deadline", "0.3", keep="hand back") as neighbours:
        yield neighbours


def test_an_unfinished_head_is_given_up(hasty: tuple[Gateway, Worker]) -> None:
    gateway, _ = hasty
    with gateway.client(get("/api/tasks")[:-2]) as client:
        reply = client.reply()
        assert (reply.status, reply.error["code"], reply.closes) == (408, "request_timeout", True)
        assert client.is_closed()


def test_a_head_has_one_deadline_however_often_something_comes(hasty: tuple[Gateway, Worker]) -> None:
    gateway, _ = hasty
    began = time.monotonic()
    with gateway.client() as client:
        for byte in get("/api/tasks", "X: " + "y" * 500):
            if _has_answer(client, within=0.02):
                break
            client.send(bytes([byte]))
        assert client.reply().status == 408
    assert time.monotonic() - began > 0.2


def test_a_client_that_says_nothing_is_closed_in_silence(hasty: tuple[Gateway, Worker]) -> None:
    gateway, _ = hasty
    with gateway.client() as client:
        assert client.is_closed()


def test_an_idle_connection_is_closed_after_a_while(hasty: tuple[Gateway, Worker]) -> None:
    gateway, _ = hasty
    with gateway.client(get("/api/tasks")) as handed_back, gateway.client(get("/api/none")) as answered:
        assert (handed_back.reply().status, answered.reply().status) == (200, 404)
        assert handed_back.is_closed()
        assert answered.is_closed()


def test_a_line_too_many_begins_no_request(hasty: tuple[Gateway, Worker]) -> None:
    gateway, _ = hasty
    for path, status in (("/api/none", 404), ("/api/tasks", 200)):
        with gateway.client(get(path) + b"\r\n") as client:
            assert client.reply().status == status
            client.send(get("/api/none") + b"\r\n")
            assert client.reply().status == 404
            assert client.is_closed(), "as one that is idle"


def test_an_idle_connection_that_begins_a_request_has_to_finish_it(hasty: tuple[Gateway, Worker]) -> None:
    gateway, _ = hasty
    with gateway.client(get("/api/none") + b"GET /api/ta") as client:
        assert client.reply().status == 404
        assert client.reply().status == 408


def test_a_client_that_closes_its_half_within_a_head_is_let_go(hasty: tuple[Gateway, Worker]) -> None:
    gateway, _ = hasty
    with gateway.client(b"GET /api/ta") as client:
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()


def test_a_client_that_closes_its_half_after_its_request_is_served(hasty: tuple[Gateway, Worker]) -> None:
    gateway, _ = hasty
    for path, status in (("/api/tasks", 200), ("/api/none", 404)):
        with gateway.client(get(path)) as client:
            client.socket.shutdown(socket.SHUT_WR)
            assert client.reply().status == status


@pytest.mark.parametrize("step", [1, 3, 7, 50])
def test_a_head_may_come_in_pieces(step: int, gateway: Gateway, worker: Worker) -> None:
    data = request("POST", "/api/tasks", "X-Some: thing", body=b"hello")
    with gateway.client() as client:
        for start in range(0, len(data), step):
            client.send(data[start : start + step])
        assert client.reply().status == 200
    assert data.startswith(worker.received[-1]), "what the gateway took travels with the connection"


def test_a_client_that_talks_late_is_served(gateway: Gateway) -> None:
    """The kernel holds a silent connection back for a second (TCP_DEFER_ACCEPT); neither side of that may lose it."""
    with gateway.client() as before, gateway.client() as after:
        before.send(get("/api/tasks"))
        assert before.reply().status == 200
        until_sync(lambda: gateway.control.stats()["held"] == 1, what="the silent one to be accepted")
        after.send(get("/api/tasks"))
        assert after.reply().status == 200


def test_unfinished_heads_cost_no_processor_time(gateway: Gateway) -> None:
    held = gateway.control.stats()["held"]
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(gateway.client(get("/api/tasks")[:-2]))
        until_sync(lambda: gateway.control.stats()["held"] >= held + 100, what="all heads to have begun")
        assert _processor_share(gateway) < 0.2


def test_two_thousand_idle_connections_keep_nobody_waiting() -> None:
    wanted = 2_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * wanted:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving() as (gateway, _), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.client(get("/api/none"))) for _ in range(wanted)]
        for client in clients:
            assert client.reply().status == 404
        assert count(gateway, "idle")() == wanted
        assert _processor_share(gateway) < 0.2
        took = []
        for _ in range(20):
            began = time.monotonic()
            assert gateway.get("/api/tasks").status == 200
            took.append(time.monotonic() - began)
        assert min(took) < 0.1
        for client in clients[::10]:
            client.send(get("/api/tasks"))
            assert client.reply().status == 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_connections_wait_in_the_kernel() -> None:
    with Gateway(descriptors=96) as gateway, contextlib.ExitStack() as stack:
        gateway.control.table({})
        clients = [stack.enter_context(gateway.client(get("/api/none"))) for _ in range(100)]
        held = until_sync(lambda: _steady(count(gateway, "held")), what="the gateway to be full")
        assert 20 < held < 90
        assert gateway.descriptors < 96
        assert _processor_share(gateway) < 0.2, "it does not spin"
        for client in clients:
            assert client.reply().status == 404
            client.close()


def test_a_process_limit_that_others_use_up_is_survived() -> None:
    """The gateway counts on its limit; here it is lowered under its feet, so that `accept` itself fails."""
    with serving() as (gateway, _):
        fitting = gateway.highest_descriptor + 3
        resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (fitting, fitting))
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(gateway.client(get("/api/none"))) for _ in range(fitting)]
            until_sync(lambda: gateway.descriptors == fitting, what="the last descriptor to be used")
            assert _processor_share(gateway) < 0.2, "it does not spin"
            for client in clients:
                assert client.reply().status == 404
                client.close()
        assert gateway.get("/api/none").status == 404


def _has_answer(client: Client, *, within: float) -> bool:
    client.socket.settimeout(within)
    try:
        return bool(client.socket.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        client.socket.settimeout(10)


def _processor_share(gateway: Gateway, window: float = 0.25) -> float:
    began, spent = time.monotonic(), gateway.processor_seconds
    until_sync(lambda: time.monotonic() - began > window, what="some time to pass")
    return (gateway.processor_seconds - spent) / (time.monotonic() - began)


def _steady(look: Callable[[], int]) -> int:
    first = look()
    return first if first and all(look() == first for _ in range(5)) else 0
