"""Whose a client's connection is, from one request to the next."""

import socket

import pytest

from tests.inside.stage import Gateway, Worker
from tests.inside.tasks import get, open_gate, post
from tests.waiting import until_sync


def test_a_handed_over_connection_is_answered_and_kept(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/hello?a=1"))
    answer = client.answer()
    assert answer.json == {"path": "/api/tasks/hello", "root": "/api/tasks", "query": "a=1"}
    assert answer.headers["date"].endswith("GMT") and "server" not in answer.headers
    assert client.ask("GET", "/api/tasks/hello").status == 200


def test_bytes_that_the_gateway_has_read_come_first(gateway: Gateway) -> None:
    whole = get("/api/tasks/hello")
    client = gateway.client(whole[20:], unread=whole[:20])
    assert client.answer().status == 200


def test_a_head_may_arrive_byte_by_byte(gateway: Gateway) -> None:
    client = gateway.client()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in get("/api/tasks/hello"):
        client.send(bytes([byte]))
    assert client.answer().status == 200


def test_a_request_for_another_service_goes_back_with_every_byte(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/hello"))
    assert client.answer().status == 200
    foreign = post("/api/other/x", b"body") + b"and more"
    client.send(foreign)
    sock, unread = gateway.returned()
    assert unread == foreign
    # The connection lives: whoever holds it now answers the same client.
    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert client.answer().status == 204
    assert worker.stats()["handed_back"] == 1
    assert until_sync(lambda: worker.stats()["connections"] == 0)


@pytest.mark.parametrize(
    "path", ["/api/tasksx", "/api/task", "/api/%74asks/hello", "/api//tasks", "/", "/api/tasks2/x"]
)
def test_only_the_exact_prefix_is_its_own(gateway: Gateway, path: str) -> None:
    gateway.client(get(path))
    assert gateway.returned()[1] == get(path)


def test_pipelined_requests_are_answered_in_order(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/slow") + get("/api/tasks/stream") + post("/api/tasks/echo", b"abc"))
    open_gate(worker)
    assert client.answer().json == "done"
    assert client.answer().body == b"part 0\npart 1\npart 2\n"
    assert client.answer().json["size"] == 3


def test_a_pipeline_over_two_services_is_split_between_them(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/hello") + get("/api/tasks/hello") + get("/api/other/x") + b"GET /api/ta")
    sock, unread = gateway.returned()
    assert unread == get("/api/other/x") + b"GET /api/ta"
    assert [client.answer().status, client.answer().status] == [200, 200]
    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert client.answer().status == 204


def test_request_ids_are_kept_or_made(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/hello", X_Request_Id="abc-1"))
    assert client.answer().headers["x-request-id"] == "abc-1"
    for bad in ("with blank", "x" * 129, "\xe9"):
        made = client.ask("GET", "/api/tasks/hello", x_request_id=bad).headers["x-request-id"]
        assert made.isascii() and made != bad and 8 < len(made) < 40
    first, second = (client.ask("GET", "/api/tasks/hello").headers["x-request-id"] for _ in range(2))
    assert first != second
    assert client.ask("GET", "/api/tasks/own-id").headers["x-request-id"] == "mine"


def test_a_proxy_on_this_machine_may_speak_for_its_client(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/client", X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="https"))
    assert client.answer().json == ["https", "192.0.2.7"]
    assert client.ask("GET", "/api/tasks/client").json == ["http", "127.0.0.1"]


def test_the_private_listener_serves_its_own_prefix_only(worker: Worker) -> None:
    with worker.private() as client:
        assert client.ask("GET", "/api/tasks/hello").status == 200
        answer = client.ask("GET", "/api/other/hello")
        assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
        assert client.at_end()


def test_what_is_no_connection_is_survived(gateway: Gateway, worker: Worker) -> None:
    gateway.channel.send(b"garbage")
    assert gateway.client(get("/api/tasks/hello")).answer().status == 200
