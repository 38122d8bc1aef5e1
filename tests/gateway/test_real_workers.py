"""The gateway with the workers that it has in production: forked, retired, killed and stopped while clients ask."""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.forked import address, route
from tests.gateway.neighbours import Client, Gateway, count, get, request
from tests.gateway.test_losses import Load
from tests.inside.stage import Worker, Zygote
from tests.waiting import until_sync

ROUTER = """
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
router = APIRouter()
@router.get("/version")
@router.post("/version")
async def version(request: Request):
    return PlainTextResponse("{version}" + str(len(await request.body())))
"""


@pytest.fixture
def stage(zygote: Zygote) -> Iterator[tuple[Gateway, Zygote]]:
    with Gateway() as gateway:
        gateway.control.table({})
        yield gateway, zygote


def _worker(zygote: Zygote, version: str, name: str = "tasks") -> Worker:
    worker = zygote.fork(ROUTER.replace("{version}", version), name)
    worker.ready()
    return worker


def test_no_request_is_lost_over_ten_releases(stage: tuple[Gateway, Zygote]) -> None:
    gateway, zygote = stage
    old = _worker(zygote, "v0-")
    gateway.control.route("/api/tasks", route(old))
    with Load(gateway, connections=4, kept_alive=True) as kept, Load(gateway, connections=2, kept_alive=False) as fresh:
        for number in range(1, 11):
            new = _worker(zygote, f"v{number}-")
            gateway.control.route("/api/tasks", route(new), address(old))
            old.retire()
            assert old.stopped() == {"requests": 0, "tasks": 0, "websockets": 0, "calls": 0}
            until_sync(lambda: kept.answers[f"v{number}-0".encode()] or kept.failures, what="the new one")  # noqa: B023
            old = new
    assert kept.failures + fresh.failures == []
    assert kept.connects == 4, "no connection was closed"
    assert all(body.startswith(b"v") for body in kept.answers + fresh.answers)


def test_idle_connections_survive_a_release_and_their_posts_are_answered_by_the_new(
    stage: tuple[Gateway, Zygote],
) -> None:
    gateway, zygote = stage
    old, new = _worker(zygote, "old"), _worker(zygote, "new")
    gateway.control.route("/api/tasks", route(old))
    with _clients(gateway, 200) as clients:
        for client in clients:
            client.send(get("/api/tasks/version"))
            assert client.reply().body == b"old0"
        _post(clients[:70])
        gateway.control.route("/api/tasks", route(new), address(old))
        old.retire()
        _post(clients[70:140])
        old.stopped()
        _post(clients[140:])
        seen = Counter(client.reply().body for client in clients)
        assert seen.keys() <= {b"old9", b"new9"}
        assert seen[b"new9"] >= 60
        assert count(gateway, "accepted")() == 200


def test_one_connection_serves_two_services_and_the_gateway_itself(stage: tuple[Gateway, Zygote]) -> None:
    gateway, zygote = stage
    for name in ("tasks", "notes"):
        gateway.control.route(f"/api/{name}", route(_worker(zygote, name, name)))
    with _clients(gateway, 1) as (client,):
        for path, body in 5 * [
            ("/api/tasks/version", b"tasks0"),
            ("/api/notes/version", b"notes0"),
            ("/api/none", b""),
        ]:
            client.send(get(path))
            reply = client.reply()
            assert reply.body == body or reply.error["code"] == "not_found"
        client.send(
            5 * (request("POST", "/api/tasks/version", body=b"123") + get("/api/notes/version") + get("/api/none"))
        )
        for _ in range(5):
            assert [client.reply().body, client.reply().body, client.reply().status] == [b"tasks3", b"notes0", 404]
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.reply().status == 204
        client.send(get("/api/tasks/version") + b"GET /api/tasks/version HTTP/1.1\r\n\r\n")
        assert [client.reply().status, client.reply().status] == [200, 400]


def test_a_worker_killed_under_load_loses_only_what_it_was_answering(stage: tuple[Gateway, Zygote]) -> None:
    gateway, zygote = stage
    workers = [_worker(zygote, f"w{number}-") for number in range(2)]
    gateway.control.route("/api/tasks", route(*workers))
    with Load(gateway, connections=4, kept_alive=False) as load:
        until_sync(lambda: load.answers[b"w0-0"] > 50, what="some load")
        os.kill(workers[0].pid, signal.SIGKILL)
        seen = load.answers[b"w1-0"]
        until_sync(lambda: load.answers[b"w1-0"] > seen + 50, what="the other to answer")
    assert len(load.failures) <= 4
    assert not any(failure.startswith("connect") for failure in load.failures)


def test_connections_that_a_stopped_worker_never_saw_are_served_after_its_death(stage: tuple[Gateway, Zygote]) -> None:
    gateway, zygote = stage
    stopped, other = _worker(zygote, "stopped"), _worker(zygote, "other")
    gateway.control.route("/api/tasks", route(stopped))
    os.kill(stopped.pid, signal.SIGSTOP)
    _is_stopped = Path(f"/proc/{stopped.pid}/stat")
    until_sync(lambda: _is_stopped.read_text().rpartition(")")[2].split()[0] == "T", what="it to stop")
    with _clients(gateway, 20) as clients:
        for client in clients:
            client.send(get("/api/tasks/version"))
        until_sync(lambda: count(gateway, "handed")() == 20, what="the stopped one to have them")
        os.kill(stopped.pid, signal.SIGKILL)
        gateway.control.route("/api/tasks", route(other))
        assert [client.reply().body for client in clients] == [b"other0"] * 20


def test_a_killed_gateway_is_followed_by_one_that_meets_the_same_workers(stage: tuple[Gateway, Zygote]) -> None:
    gateway, zygote = stage
    worker = _worker(zygote, "same")
    gateway.control.route("/api/tasks", route(worker))
    with _clients(gateway, 5) as clients:
        for client in clients:
            client.send(get("/api/tasks/version"))
            assert client.reply().body == b"same0"
        gateway.kill()
        for client in clients:
            client.send(get("/api/tasks/version"))
            assert client.reply().body == b"same0", "it is with the worker, and needs no gateway"
        with _clients(gateway, 5) as waiting:
            for client in waiting:
                client.send(get("/api/tasks/version"))
            gateway.control.close()
            gateway.start()
            gateway.control.table({"/api/tasks": route(worker)})
            assert [client.reply().body for client in waiting] == [b"same0"] * 5
        clients[0].send(get("/api/none"))
        assert clients[0].reply().status == 404, "handed back to the new gateway"


def _post(clients: list[Client]) -> None:
    for client in clients:
        client.send(request("POST", "/api/tasks/version", body=b"x" * 9))


@contextlib.contextmanager
def _clients(gateway: Gateway, number: int) -> Iterator[list[Client]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(gateway.client()) for _ in range(number)]
