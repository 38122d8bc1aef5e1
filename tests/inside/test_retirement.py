"""What happens to connections and requests when a worker retires, or those around it are gone."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from reconciler.inside.head import NOT_TAKEN
from tests.inside.stage import Client, Gateway, Worker, Zygote, paused
from tests.inside.tasks import CODE, get, open_gate, post
from tests.waiting import until_sync


def test_at_retirement_idle_connections_go_back_and_live_on(gateway: Gateway, worker: Worker) -> None:
    clients = [gateway.client(get("/api/tasks/hello")) for _ in range(50)]
    for client in clients:
        client.answer()
    clients[0].send(b"GET /api/tas")
    until_sync(lambda: worker.stats()["connections"] == 50)
    worker.retire()
    returned = [gateway.returned() for _ in clients]
    # Some bytes of a next request may be read or still lie in the kernel; both arrive.
    for sock, unread in returned:
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(unread), unread))
    assert {client.answer().status for client in clients} == {200}
    assert worker.stopped() == {"requests": 0, "tasks": 0, "websockets": 0, "calls": 0}
    assert worker.exited() == 0


def test_at_retirement_what_lies_in_the_channel_is_not_lost(gateway: Gateway, worker: Worker) -> None:
    with paused(worker.pid):
        clients = [gateway.client(get("/api/tasks/hello")) for _ in range(8)]
        worker.retire()
    # Whether it was answered before it came back depends on what the loop saw first.
    for _ in clients:
        sock, unread = gateway.returned()
        sock.settimeout(0.001)
        if unread or waits(sock):
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert [client.answer().status for client in clients] == [200] * len(clients)
    assert worker.exited() == 0


def waits(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False


def test_at_retirement_what_was_begun_is_finished(gateway: Gateway, worker: Worker) -> None:
    slow = gateway.client(get("/api/tasks/slow") + get("/api/tasks/hello"))
    upload = gateway.client(post("/api/tasks/echo", b"", Content_Length="6") + b"abc")
    until_sync(lambda: worker.stats()["in_flight"] == 2)
    worker.retire()
    worker.wire.next("state", state="draining")
    upload.send(b"def")
    assert upload.answer().json["size"] == 6
    assert gateway.returned()[1] == b""
    open_gate(worker)
    assert slow.answer().json == "done"
    # Read by the retiring worker, to be answered by the next release.
    assert gateway.returned()[1] == get("/api/tasks/hello")
    assert worker.stopped() == {"requests": 0, "tasks": 0, "websockets": 0, "calls": 0}


def test_at_retirement_a_response_is_written_to_its_end_first(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/big"))
    until_sync(lambda: worker.stats()["requests"] == 1 or worker.stats()["in_flight"] == 1)
    worker.retire()
    assert len(client.answer().body) == 5_000_000
    sock, _ = gateway.returned()
    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert client.answer().status == 204
    assert worker.stopped()["requests"] == 0


def test_background_tasks_finish_inside_the_drain(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/background"))
    assert client.answer().json == "begun"
    worker.retire()
    gateway.returned()
    open_gate(worker)
    assert worker.stopped()["tasks"] == 0
    assert worker.said("background done")["request"] is not None


def test_what_outlives_the_drain_is_cut_and_counted(gateway: Gateway, worker: Worker) -> None:
    gateway.client(get("/api/tasks/slow"))
    gateway.client(get("/api/tasks/background")).answer()
    stream = gateway.client(get("/api/tasks/events"))
    next(iter_chunks(stream))
    worker.retire(drain=0.1)
    assert worker.stopped() == {"requests": 2, "tasks": 1, "websockets": 0, "calls": 0}
    assert worker.exited() == 0


def iter_chunks(client: Client) -> Iterator[bytes]:
    client._until(b"\r\n\r\n")
    return client.chunks()


def test_when_the_gateway_dies_connections_live_on_and_wait_for_the_next(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/hello"))
    client.answer()
    gateway.die()
    assert client.ask("GET", "/api/tasks/hello").status == 200
    client.send(get("/api/other/x"))
    assert client_waits(client)
    assert worker.attach().returned()[1] == get("/api/other/x")


def client_waits(client: Client) -> bool:
    client.sock.settimeout(0.05)
    try:
        client.sock.recv(1)
    except TimeoutError:
        return True
    finally:
        client.sock.settimeout(10)
    return False


def test_at_retirement_without_a_gateway_idle_connections_wait_for_one(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/hello"))
    client.answer()
    gateway.die()
    worker.retire(drain=10)
    worker.wire.next("state", state="draining")
    sock, unread = worker.attach().returned()
    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (client.answer().status, unread) == (204, b"")
    worker.stopped()


def test_a_request_that_no_gateway_took_before_the_deadline_is_told_to_try_again(
    gateway: Gateway, worker: Worker
) -> None:
    client = gateway.client(get("/api/tasks/hello"))
    client.answer()
    gateway.die()
    client.send(get("/api/other/x"))
    assert client_waits(client)
    worker.retire(drain=0.1)
    answer = client.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert client.at_end()
    worker.stopped()


def test_who_asks_a_parked_worker_in_private_is_told_that_nobody_saw_it(worker: Worker) -> None:
    kept = worker.private()
    assert kept.ask("GET", "/api/tasks/hello").status == 200
    worker.wire.send({"op": "park", "drain": 10})
    asked = {"kept": kept.answer(), "new": worker.get("/hello")}
    assert [(answer.status, NOT_TAKEN in answer.headers) for answer in asked.values()] == [(503, True)] * 2
    assert kept.at_end()
    worker.wire.send({"op": "resume"})
    assert until_sync(lambda: worker.get("/hello").status == 200, what="the service")


def test_a_full_channel_loses_nothing(gateway: Gateway, worker: Worker) -> None:
    # More than a channel holds: nobody reads it until all have been sent back.
    clients = [gateway.client(get("/api/tasks/hello")) for _ in range(60)]
    for client in clients:
        client.answer()
    foreign = post("/api/other/x", b"x" * 40_000)
    for client in clients:
        client.send(foreign)
    until_sync(lambda: worker.stats()["handed_back"] > 5)
    bodies = [len(gateway.returned()[1]) for _ in clients]
    assert all(0 < size <= len(foreign) for size in bodies)
    assert until_sync(lambda: worker.stats()["handed_back"] == len(clients))


def test_when_the_platform_is_gone_everything_ends(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path)
    worker = zygote.fork(CODE)
    worker.ready()
    os.kill(zygote.process.pid, signal.SIGKILL)
    zygote.process.wait(30)
    # A worker outlives its zygote, but not the platform.
    assert worker.get("/hello").status == 200
    zygote.lifeline.close()
    until_sync(lambda: not Path(f"/proc/{worker.pid}/cmdline").exists() or is_zombie(worker.pid), what="its end")
    zygote.close()


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
