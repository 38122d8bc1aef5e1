"""Sockets that a worker has set up so that closing them waits: the gateway closes them, and waits for none."""

import array
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.gateway.aside import Aside
from tests.gateway.neighbours import PATIENCE, Worker, count, get, live, serving
from tests.waiting import until_sync

LINGERS = struct.pack("ii", 1, int(6 * PATIENCE))
INLINE = struct.pack("=Bd", 1, 0.0)


@pytest.fixture
def lingering() -> Iterator[Callable[[], int]]:
    """Makes sockets whose other end takes nothing, so that closing the last copy waits for longer than any test."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as peers:

        def make() -> int:
            one = socket.create_connection(server.getsockname())
            peers.enter_context(server.accept()[0])
            _fill(one)
            return one.detach()

        yield make


def _fill(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGERS)
    one.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            one.send(bytes(65536))


def _pass(along: socket.socket, packet: bytes, fds: list[int]) -> None:
    along.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    for fd in fds:
        os.close(fd)


def _as_a_connection(worker: Worker, make: Callable[[], int]) -> None:
    _pass(worker.channels[0], INLINE, [make()])


def _in_great_number(worker: Worker, make: Callable[[], int]) -> None:
    _pass(worker.channels[0], INLINE, [make() for _ in range(6)])


def _while_speaking(worker: Worker, make: Callable[[], int]) -> None:
    _pass(worker.controls[0], b"{}\n", [make()])


def _after_speaking_nonsense(worker: Worker, make: Callable[[], int]) -> None:
    """Both arrive at once or nearly so; what lies in a line when it is closed is closed with it."""
    worker.controls[0].send(b"nonsense\n")
    with contextlib.suppress(OSError):
        _pass(worker.controls[0], b"{}\n", [make()])


def _at_its_death(worker: Worker, make: Callable[[], int]) -> None:
    _pass(worker.channels[0], INLINE, [make()])
    worker.die()


@pytest.mark.parametrize(
    "passed", [_as_a_connection, _in_great_number, _while_speaking, _after_speaking_nonsense, _at_its_death]
)
def test_what_would_take_long_to_close_keeps_nobody_waiting(
    passed: Callable[[Worker, Callable[[], int]], None], lingering: Callable[[], int]
) -> None:
    with serving() as (gateway, _), Worker(gateway.run, "evil") as evil:
        before = gateway.descriptors
        gateway.control.route("/api/evil", live("evil", evil))
        assert gateway.get("/api/evil").status == 200, "it is attached"
        passed(evil, lingering)
        gateway.control.route("/api/evil", None)
        assert gateway.get("/api/tasks").status == 200
        evil.die()
        until_sync(lambda: gateway.descriptors == before, what="all of it to be closed")
        assert gateway.get("/api/tasks").status == 200


def test_a_client_that_takes_nothing_keeps_nobody_waiting_when_it_is_given_up() -> None:
    with (
        serving("--ending-deadline", "0.1", keep="keep") as (gateway, worker),
        gateway.client(get("/api/tasks")) as client,
    ):
        assert client.reply().status == 200
        fd, _ = until_sync(lambda: worker.kept, what="the worker to keep it").pop()
        with socket.socket(fileno=os.dup(fd)) as shared:
            _fill(shared)
        worker.hand_back(fd, get("/api/none", "Connection: close"))
        until_sync(lambda: count(gateway, "returned")() and not count(gateway, "held")(), what="it to be given up")
        assert gateway.get("/api/tasks").status == 200


def test_what_is_closed_aside_is_closed(lingering: Callable[[], int]) -> None:
    aside = Aside()
    left = [lingering(), os.memfd_create("left"), os.dup(0)]
    for fd in left:
        aside.close(fd)
    until_sync(lambda: not any(Path(f"/proc/self/fd/{fd}").exists() for fd in left), what="all to be closed")
    assert len(aside) == 0
