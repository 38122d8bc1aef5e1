"""Workers that die, get stuck, leave, or lie: no connection is lost with them, and the gateway is never harmed."""

import array
import contextlib
import os
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.gateway.neighbours import Client, Gateway, Worker, count, get, live, request, serving
from tests.waiting import until_sync


def _stats(gateway: Gateway, name: str, wanted: int) -> None:
    until_sync(lambda: count(gateway, name)() == wanted, what=f"{name} to be {wanted}")


@contextlib.contextmanager
def _many(gateway: Gateway, number: int) -> Iterator[list[Client]]:
    """So many clients that have asked `tasks`."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(gateway.client(get("/api/tasks"))) for _ in range(number)]


# --- death ---


def test_connections_a_dead_worker_had_not_taken_are_served_by_the_next() -> None:
    with serving(takes=False) as (gateway, dying), Worker(gateway.run, "b") as other, _many(gateway, 30) as clients:
        _stats(gateway, "handed", 30)
        dying.die()
        _stats(gateway, "rerouted", 30)
        gateway.control.route("/api/tasks", live("tasks", other))
        assert [client.reply().body for client in clients] == [b"b"] * 30


def test_replicas_take_over_at_once_what_a_dead_worker_had_not_taken() -> None:
    with (
        Gateway() as gateway,
        Worker(gateway.run, "tasks-1.1", takes=False) as dying,
        Worker(gateway.run, "b") as other,
    ):
        gateway.control.table({"/api/tasks": live("tasks", dying, other)})
        with _many(gateway, 10) as clients:
            _stats(gateway, "handed", 10)
            dying.die()
            assert [client.reply().body for client in clients] == [b"b"] * 10


def test_connections_wait_for_a_service_without_workers() -> None:
    with serving() as (gateway, worker), Worker(gateway.run, "tasks-1.2") as replacement:
        worker.die()
        _stats(gateway, "workers", 0)
        with gateway.client(get("/api/tasks")) as client:
            _stats(gateway, "parked", 1)
            gateway.control.route("/api/tasks", live("tasks", replacement))
            assert client.reply().body == b"tasks-1.2"


def test_who_has_waited_too_long_for_a_worker_is_told() -> None:
    with serving("--park-deadline", "0.2") as (gateway, worker):
        worker.die()
        with gateway.client(get("/api/tasks")) as client:
            reply = client.reply()
            assert (reply.status, reply.error["code"]) == (503, "no_worker")
            assert reply.error["service"] == "tasks"
            assert "retry-after" in reply.fields
            assert not reply.closes, "and may ask again"


def test_so_many_may_wait_and_no_more() -> None:
    with serving() as (gateway, worker), contextlib.ExitStack() as stack:
        worker.die()
        for _ in range(1024):
            stack.enter_context(gateway.client(get("/api/tasks")))
        _stats(gateway, "parked", 1024)
        assert gateway.get("/api/tasks").status == 503


def test_those_who_wait_are_answered_when_the_route_goes_away() -> None:
    with serving() as (gateway, worker):
        worker.die()
        with gateway.client(get("/api/tasks")) as client:
            _stats(gateway, "parked", 1)
            gateway.control.table({})
            assert client.reply().status == 404


def test_nothing_of_a_dead_worker_stays_open() -> None:
    with serving() as (gateway, _):
        before = gateway.descriptors
        for number in range(5):
            with Worker(gateway.run, f"tasks-2.{number}") as worker:
                gateway.control.route("/api/tasks", live("tasks", worker))
                assert gateway.get("/api/tasks").status == 200
            _stats(gateway, "workers", 1)
        until_sync(lambda: gateway.descriptors == before, what="everything to be closed")


# --- a worker that takes nothing ---


def test_a_full_worker_holds_connections_back_and_loses_none() -> None:
    with serving(takes=False) as (gateway, worker), contextlib.ExitStack() as stack:
        sent = 0
        clients = []
        while not count(gateway, "parked")():
            clients += [stack.enter_context(gateway.client(get("/api/tasks"))) for _ in range(100)]
            sent += 100
            until_sync(lambda: count(gateway, "accepted")() == sent, what="all to be accepted")  # noqa: B023
        worker.take()
        for client in clients:
            assert client.reply().status == 200


def test_a_stuck_worker_gives_up_its_queue_to_a_replica() -> None:
    with serving("--park-deadline", "2", takes=False) as (gateway, stuck), Worker(gateway.run, "well") as well:
        gateway.control.route("/api/tasks", live("tasks", stuck, well))
        with _many(gateway, 6) as clients:
            assert [client.reply().body for client in clients] == [b"well"] * 6
        assert [gateway.get("/api/tasks").body for _ in range(4)] == [b"well"] * 4, "and it receives no more"


def test_no_further_client_waits_for_a_worker_that_stays_stuck() -> None:
    with (
        Gateway("--park-deadline", "1") as gateway,
        Worker(gateway.run, "stuck", takes=False) as stuck,
        Worker(gateway.run, "well") as well,
    ):
        gateway.control.table({"/api/tasks": live("tasks", stuck, well), "/api/empty": live("empty")})
        with _many(gateway, 6) as clients:
            assert [client.reply().body for client in clients] == [b"well"] * 6
        rerouted = count(gateway, "rerouted")()
        for _ in range(3):
            assert gateway.get("/api/empty").status == 503, "which takes as long as a worker may take nothing"
            assert [gateway.get("/api/tasks").body for _ in range(4)] == [b"well"] * 4
        assert count(gateway, "rerouted")() == rerouted
        stuck.take()
        until_sync(lambda: gateway.get("/api/tasks").body == b"stuck", what="it to be trusted again")


def test_the_clients_of_a_service_that_is_stuck_as_a_whole_are_told() -> None:
    with serving("--park-deadline", "2", takes=False) as (gateway, worker):
        with gateway.client(get("/api/tasks")) as client:
            reply = client.reply()
            assert (reply.status, reply.error["code"]) == (503, "busy")
            assert "retry-after" in reply.fields
        worker.take()
        until_sync(lambda: gateway.get("/api/tasks").status == 200, what="the worker to be trusted again")


# --- hand-back ---


@pytest.mark.parametrize("length", [1, 100_000, 1_000_000])
def test_unread_bytes_come_back_and_travel_on(length: int) -> None:
    follower = request("POST", "/api/other", body=random.Random(length).randbytes(length))
    with serving(keep="keep") as (gateway, worker), Worker(gateway.run, "other-1.1") as other:
        gateway.control.route("/api/other", live("other", other))
        with gateway.client(get("/api/tasks")) as client:
            assert client.reply().body == b"tasks-1.1"
            fd, rest = until_sync(lambda: worker.kept, what="the worker to keep it").pop()
            assert rest == b""
            at = length if length == 1 else len(follower)
            client.send(follower[at:])
            worker.hand_back(fd, follower[:at])
            assert client.reply().body == b"other-1.1"
            assert other.received == [other.received[0]]
            assert follower.startswith(other.received[0]) and len(other.received[0]) >= at


def test_requests_for_many_services_alternate_on_one_connection() -> None:
    with serving(keep="hand back") as (gateway, _), Worker(gateway.run, "other", keep="hand back") as other:
        gateway.control.route("/api/other", live("other", other))
        with gateway.client() as client:
            for _ in range(20):
                for path, body in (("/api/tasks", b"tasks-1.1"), ("/api/other", b"other"), ("/api/none", None)):
                    client.send(get(path))
                    reply = client.reply()
                    assert reply.body == body if body else reply.status == 404
        assert count(gateway, "accepted")() == 1


def test_a_pipeline_over_two_services_is_answered_in_order() -> None:
    with serving(keep="hand back") as (gateway, _), Worker(gateway.run, "other", keep="hand back") as other:
        gateway.control.route("/api/other", live("other", other))
        with gateway.client((get("/api/tasks") + get("/api/other") + get("/api/none")) * 30) as client:
            for _ in range(30):
                assert [client.reply().body for _ in range(2)] == [b"tasks-1.1", b"other"]
                assert client.reply().status == 404


def test_what_a_worker_handed_back_before_it_died_is_kept() -> None:
    with serving(keep="keep") as (gateway, worker), Worker(gateway.run, "new") as new, _many(gateway, 20) as clients:
        for client in clients:
            assert client.reply().status == 200
        until_sync(lambda: len(worker.kept) == 20, what="the worker to keep them")
        gateway.control.route("/api/tasks", live("tasks", new), worker.address)
        while worker.kept:
            worker.hand_back(*worker.kept.pop())
        worker.die()
        for client in clients:
            client.send(get("/api/tasks"))
            assert client.reply().body == b"new"


# --- what a worker says ---


@pytest.mark.parametrize("state", ["draining", "failed", "stopped"])
def test_a_worker_that_says_it_leaves_receives_no_more(state: str) -> None:
    with Gateway() as gateway, Worker(gateway.run, "leaves") as leaving, Worker(gateway.run, "stays") as staying:
        gateway.control.table({"/api/tasks": live("tasks", leaving, staying)})
        leaving.say({"op": "state", "state": state})
        until_sync(
            lambda: {gateway.get("/api/tasks").body for _ in range(4)} == {b"stays"},
            what="the gateway to have heard it",
        )


def _say_garbage(worker: Worker) -> None:
    worker.controls[0].sendall(b"\xff{{{\n")


def _say_a_list(worker: Worker) -> None:
    worker.say([1, 2, 3])


def _nest_deeply(worker: Worker) -> None:
    worker.controls[0].sendall(b"[" * 100_000 + b"\n")


def _never_end_a_line(worker: Worker) -> None:
    with contextlib.suppress(OSError):
        for _ in range(100):
            worker.controls[0].sendall(b"x" * 10_000)


def _pass_many_descriptors(worker: Worker) -> None:
    _pass(worker, b"GET / HTTP/1.1\r\n", 250)


def _pass_none(worker: Worker) -> None:
    worker.channels[0].send(b"hello")


def _flood(worker: Worker) -> None:
    channel = worker.channels[0]
    with contextlib.suppress(OSError):
        channel.setblocking(True)
        for _ in range(5_000):
            channel.send(b"nonsense")


def _close_the_channel(worker: Worker) -> None:
    worker.channels[0].shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "hostile",
    [
        _say_garbage,
        _say_a_list,
        _nest_deeply,
        _never_end_a_line,
        _pass_many_descriptors,
        _pass_none,
        _flood,
        _close_the_channel,
    ],
)
def test_a_worker_that_talks_nonsense_is_let_go_alone(hostile: Callable[[Worker], None]) -> None:
    with serving() as (gateway, _), Worker(gateway.run, "evil-1.1") as evil:
        before = gateway.descriptors
        gateway.control.route("/api/evil", live("evil", evil))
        assert gateway.get("/api/evil").status == 200
        hostile(evil)
        _stats(gateway, "workers", 1)
        until_sync(lambda: gateway.descriptors == before, what="everything of it to be closed")
        assert gateway.get("/api/tasks").status == 200


def test_a_worker_that_talks_without_end_is_heard_a_little_at_a_time() -> None:
    with Gateway("--park-deadline", "3") as gateway, Worker(gateway.run, "talks") as talkative:
        gateway.control.table({"/api/talks": live("talks", talkative), "/api/empty": live("empty")})
        with _talking(talkative):
            before = gateway.processor_seconds
            assert gateway.get("/api/empty").status == 503, "after three seconds"
            used = gateway.processor_seconds - before
            assert used < 0.5
            assert gateway.get("/api/talks").status == 200, "and it is still trusted"
        talkative.say({"op": "state", "state": "draining"})
        until_sync(lambda: gateway.get("/api/talks").status == 503, what="it to be heard to the end")


@contextlib.contextmanager
def _talking(worker: Worker) -> Iterator[None]:
    control = until_sync(lambda: worker.controls, what="the gateway to attach")[0]
    over = threading.Event()

    def talk() -> None:
        while not over.is_set():
            control.sendall(b"{}\n" * 5_000)

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        yield
    finally:
        over.set()
        talking.join()


def test_a_descriptor_that_is_no_connection_of_ours_is_closed_and_counted() -> None:
    with serving(keep="keep") as (gateway, worker), socket.create_server(("127.0.0.1", 0)) as foreign:
        before = gateway.descriptors
        reading, writing = os.pipe()
        os.close(writing)
        outward = socket.create_connection(foreign.getsockname())
        pair = socket.socketpair()
        listening = os.dup(gateway.listening.fileno())
        strangers = [reading, outward.detach(), pair[0].detach(), foreign.detach(), os.memfd_create("x"), listening]
        strangers.append(_dead_connection(gateway, worker))
        for fd in strangers:
            worker.hand_back(fd)
        pair[1].close()
        _stats(gateway, "foreign", len(strangers))
        until_sync(lambda: gateway.descriptors == before, what="all of them to be closed")
        assert gateway.get("/api/tasks").status == 200, "and the worker is still trusted"


def _dead_connection(gateway: Gateway, worker: Worker) -> int:
    """The worker's end of a connection that its client has reset."""
    with gateway.client(get("/api/tasks")) as client:
        assert client.reply().status == 200
        fd, _ = until_sync(lambda: worker.kept, what="the worker to keep it").pop()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return fd


def test_a_worker_that_hands_one_connection_back_twice_harms_only_its_client() -> None:
    with serving(keep="keep") as (gateway, worker), gateway.client(get("/api/tasks")) as client:
        assert client.reply().status == 200
        fd, _ = until_sync(lambda: worker.kept, what="the worker to keep it").pop()
        worker.hand_back(os.dup(fd))
        worker.hand_back(fd)
        _stats(gateway, "returned", 2)
        client.close()
        _stats(gateway, "held", 0)
        assert gateway.get("/api/tasks").status == 200


def _pass(worker: Worker, packet: bytes, number: int) -> None:
    fds = array.array("i", [worker.channels[0].fileno()] * number)
    worker.channels[0].sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])


# --- leaving ---


def test_a_worker_that_says_it_leaves_keeps_no_connection_waiting_that_it_has_not_taken() -> None:
    with serving(takes=False) as (gateway, leaving), Worker(gateway.run, "b") as other, _many(gateway, 10) as clients:
        _stats(gateway, "handed", 10)
        leaving.say({"op": "state", "state": "draining"})
        _stats(gateway, "rerouted", 10)
        gateway.control.route("/api/tasks", live("tasks", other), leaving.address)
        assert [client.reply().body for client in clients] == [b"b"] * 10


# --- connections that were parked ---


def test_a_connection_that_was_parked_is_forgotten_when_it_has_gone() -> None:
    """Its number belongs to the next client, who must not notice anything."""
    with Gateway("--park-deadline", "2") as gateway, Worker(gateway.run) as worker:
        gateway.control.table({"/api/empty": live("empty"), "/api/tasks": live("tasks", worker)})
        with gateway.client(get("/api/none")) as former:
            assert former.reply().status == 404
            former.send(get("/api/none") * 33 + get("/api/empty"))
            assert [former.reply().status for _ in range(34)] == [404] * 33 + [503]
            former.send(get("/api/tasks"))
            assert former.reply().status == 200
        with gateway.client(get("/api/tasks")[:10]) as client:
            _stats(gateway, "accepted", 2)
            gateway.control.route("/api/empty", live("empty", worker))
            client.send(get("/api/tasks")[10:])
            assert client.reply().status == 200
