"""Who gets a request: the table, its swap, and the answers for those that nobody gets."""

import json
import os
import socket
import time

import pytest

from reconciler.gateway.table import Table
from tests.gateway.neighbours import Gateway, Worker, count, get, live, request, serving, unready
from tests.waiting import until_sync


def test_a_request_goes_to_the_worker_of_its_service(gateway: Gateway) -> None:
    reply = gateway.get("/api/tasks/7")
    assert (reply.status, reply.body) == (200, b"tasks-1.1")


@pytest.mark.parametrize(
    "path", ["/api/tasks-x", "/api/tasksx/1", "/api/Tasks", "/api/task", "/api/tasks;x", "/api/%74asks"]
)
def test_a_name_that_is_only_alike_is_not_found(path: str, gateway: Gateway) -> None:
    reply = gateway.get(path)
    assert (reply.status, reply.error["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/v1/status", "/metrics", "/docs", "/webhooks/github", "/git/x.git", "/api"]
)
def test_the_control_plane_is_not_here(path: str, gateway: Gateway) -> None:
    reply = gateway.get(path)
    assert reply.status == 404
    assert reply.error == {"code": "not_found", "message": "Nothing is served here.", "service": None}
    assert "server" not in reply.fields


def test_an_unknown_service_is_not_found_by_its_name(gateway: Gateway) -> None:
    reply = gateway.get("/api/nobody/1")
    assert reply.error == {"code": "not_found", "message": "There is no such service.", "service": "nobody"}
    assert reply.fields["content-type"] == "application/json"


def test_a_known_service_that_is_not_ready_says_why_and_when_to_come_again(gateway: Gateway) -> None:
    reply = gateway.get("/api/reports")
    assert (reply.status, reply.fields["retry-after"]) == (503, "7")
    assert reply.error == {"code": "tests_failed", "message": "It is not ready.", "service": "reports"}


def test_an_answer_keeps_the_connection_for_the_next_request(gateway: Gateway) -> None:
    with gateway.client() as client:
        for path, status in (
            ("/nobody", 404),
            ("/api/reports", 503),
            ("/api/none/" + "x" * 3000, 404),
            ("/api/tasks", 200),
        ):
            client.send(get(path))
            reply = client.reply()
            assert (reply.status, reply.closes) == (status, False)


def test_pipelined_requests_are_answered_in_order(gateway: Gateway) -> None:
    statuses = [404, 503, 404] * 20
    paths = {404: "/api/none", 503: "/api/reports"}
    with gateway.client(b"".join(get(paths[status]) for status in statuses) + get("/api/tasks")) as client:
        assert [client.reply().status for _ in statuses] == statuses
        assert client.reply().status == 200


@pytest.mark.parametrize(
    "sent",
    [
        request("POST", "/api/none", body=b"hello"),
        b"POST /api/none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        get("/api/none", "Connection: close"),
        b"GET /api/none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ],
    ids=["a body", "a chunked body", "connection: close", "HTTP/1.0"],
)
def test_an_answer_ends_the_connection_after(sent: bytes, gateway: Gateway) -> None:
    with gateway.client(sent) as client:
        reply = client.reply()
        assert (reply.status, reply.closes) == (404, True)
        assert client.is_closed()


def test_an_answer_to_head_has_no_body(gateway: Gateway) -> None:
    with gateway.client(request("HEAD", "/api/none")) as client:
        assert int(client.reply(with_body=False).fields["content-length"]) > 0
        client.send(get("/api/tasks"))
        assert client.reply().body == b"tasks-1.1"


def test_a_client_that_reads_no_answers_is_not_waited_for() -> None:
    with serving("--ending-deadline", "0.2") as (gateway, _), gateway.client() as deaf:
        deaf.socket.setblocking(False)
        until_sync(lambda: _is_stuffed(deaf.socket), what="both directions to be full")
        assert gateway.get("/api/tasks").status == 200
        until_sync(lambda: gateway.control.stats()["held"] == 0, what="the deaf client to be dropped")


def _is_stuffed(sending: socket.socket) -> bool:
    try:
        while True:
            sending.send(get("/api/none") * 500)
    except BlockingIOError:
        time.sleep(0.02)
    try:
        return sending.send(get("/api/none")) == 0
    except BlockingIOError:
        return True
    except OSError:
        return True


def test_nothing_is_accepted_before_the_first_table() -> None:
    with Gateway() as gateway, Worker(gateway.run) as worker, gateway.client(get("/api/tasks")) as early:
        assert gateway.control.stats()["accepted"] == 0
        gateway.control.table({"/api/tasks": live("tasks", worker)})
        assert early.reply().status == 200, "it waited in the backlog"


def test_unknown_names_may_yet_come_until_the_table_is_complete() -> None:
    with Gateway() as gateway:
        gateway.control.table({}, complete=False)
        reply = gateway.get("/api/tasks")
        assert (reply.status, reply.error["code"]) == (503, "starting")
        assert "retry-after" in reply.fields
        assert gateway.get("/elsewhere").status == 404
        gateway.control.table({})
        assert gateway.get("/api/tasks").status == 404


def test_replicas_take_turns() -> None:
    with Gateway() as gateway, Worker(gateway.run, "tasks-1.1") as one, Worker(gateway.run, "tasks-1.2") as two:
        gateway.control.table({"/api/tasks": live("tasks", one, two)})
        seen = [gateway.get("/api/tasks").body for _ in range(10)]
        assert {body: seen.count(body) for body in seen} == {b"tasks-1.1": 5, b"tasks-1.2": 5}


def test_after_a_switch_the_old_worker_receives_nothing() -> None:
    with serving() as (gateway, old), Worker(gateway.run, "tasks-2.1") as new:
        assert gateway.get("/api/tasks").body == b"tasks-1.1"
        assert gateway.control.route("/api/tasks", live("tasks", new), old.address) == []
        assert [gateway.get("/api/tasks").body for _ in range(5)] == [b"tasks-2.1"] * 5
        assert len(old.received) == 1


def test_a_removed_route_is_not_found_and_a_new_one_is() -> None:
    with serving() as (gateway, worker):
        gateway.control.route("/api/tasks", None, worker.address)
        assert gateway.get("/api/tasks").status == 404
        gateway.control.route("/api/renamed", live("renamed", worker))
        assert gateway.get("/api/renamed").status == 200


def test_a_worker_that_is_not_there_is_named_and_the_others_serve() -> None:
    with Gateway() as gateway, Worker(gateway.run, "tasks-1.1") as here, Worker(gateway.run, "tasks-1.2") as gone:
        gone.die()
        assert gateway.control.table({"/api/tasks": live("tasks", gone, here)}) == ["tasks-1.2"]
        assert [gateway.get("/api/tasks").body for _ in range(3)] == [b"tasks-1.1"] * 3


def test_the_mount_can_move_and_services_follow_one_by_one() -> None:
    with serving() as (gateway, worker):
        gateway.control.order("mount", mount="/services/v1")
        assert gateway.get("/api/tasks").status == 200
        assert gateway.get("/services/v1/tasks").status == 404
        gateway.control.route("/services/v1/tasks", live("tasks", worker))
        gateway.control.route("/api/tasks", None)
        assert gateway.get("/services/v1/tasks").status == 200
        assert gateway.get("/api/tasks").status == 404
        gateway.control.table({"/tasks": live("tasks", worker)}, mount="/")
        assert gateway.get("/tasks/1").status == 200


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[]\n", b'"table"\n', b'{"op":"frob","id":1}\n', b'{"op":["table"],"id":1}\n', b"[" * 100_000 + b"\n",
        b'{"op":"table","id":1,"mount":"/api","routes":[]}\n', b'{"op":"route","id":1,"prefix":7,"route":null}\n',
        b'{"op":"route","id":1,"prefix":"/api/x","route":{"service":"x","state":"odd"}}\n', b"\xff\xfe\n",
        b'{"op":"route","id":1,"prefix":"/api/x","route":{"service":"x","state":"live","release":"x-1","workers":[7]}}\n',
    ],
    ids=lambda line: line[:40].decode("latin-1"),
)  # fmt: skip
def test_a_client_of_the_control_socket_that_talks_nonsense_is_dropped(line: bytes, gateway: Gateway) -> None:
    gateway.control.send(line)
    with pytest.raises((EOFError, OSError)):
        gateway.control.read()
    gateway.control.close()
    gateway.control = type(gateway.control)(gateway.run)
    assert gateway.control.stats()["routes"] == 2
    assert gateway.get("/api/tasks").status == 200


def test_the_newest_control_wins(gateway: Gateway) -> None:
    old, gateway.control = gateway.control, type(gateway.control)(gateway.run)
    assert gateway.control.stats()["routes"] == 2
    with pytest.raises((EOFError, OSError)):
        old.read()
    old.close()


def test_a_large_table_is_swapped_whole() -> None:
    with serving() as (gateway, worker):
        routes = {f"/api/s{number}": live(f"s{number}", worker) for number in range(5_000)}
        assert gateway.control.table(routes) == []
        assert gateway.get("/api/s4999").status == 200
        assert gateway.get("/api/tasks").status == 404


def test_a_table_survives_its_own_words() -> None:
    table = Table("/api", {"/api/a": unready("a", "starting", 3)}, complete=False)
    assert Table.from_json(json.loads(json.dumps(table.to_json()))) == table


def test_the_gateway_ends_with_its_lifeline() -> None:
    with serving() as (gateway, _):
        os.close(gateway.lifeline_end)
        assert gateway.process.wait(30) == 0


def test_a_terminated_gateway_accepts_no_more_and_ends_when_nothing_is_held() -> None:
    with (
        serving("--ending-deadline", "0.1", keep="hand back") as (gateway, worker),
        gateway.client(get("/api/tasks")) as idle,
    ):
        assert idle.reply().status == 200
        until_sync(count(gateway, "returned"), what="the connection to come back")
        gateway.process.terminate()
        assert idle.is_closed()
        with gateway.client(get("/api/tasks")):
            worker.die()
            assert gateway.process.wait(30) == 0
        assert len(worker.received) == 1


def test_a_closed_gateway_still_serves_what_it_has() -> None:
    with serving() as (gateway, worker):
        worker.stop_taking()
        with gateway.client(get("/api/tasks")) as waiting, gateway.client(get("/api/tasks")[:-2]) as slow:
            until_sync(lambda: gateway.control.stats()["accepted"] == 2, what="both to be accepted")
            gateway.control.order("close")
            with gateway.client(get("/api/tasks")):
                worker.take()
                slow.send(b"\r\n")
                assert (waiting.reply().status, slow.reply().status) == (200, 200)
                assert gateway.control.stats()["accepted"] == 2
