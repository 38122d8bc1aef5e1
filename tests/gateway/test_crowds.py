"""More connections than there are descriptors, or than may be under way: they wait, and none is lost."""

import contextlib
from collections.abc import Callable

import pytest

from tests.gateway.neighbours import Gateway, Worker, count, get, live
from tests.waiting import until_sync

DESCRIPTORS = 256
QUEUE = 60
HELD = 188
"""With the queue they are more than all descriptors, and without it nearly as many as are accepted."""
QUICKLY = ("--park-deadline", "3", "--ending-deadline", "0.1")


def _stay(_: Worker) -> None:
    """It takes nothing for too long."""


def _leave(worker: Worker) -> None:
    worker.say({"op": "state", "state": "draining"})


@pytest.mark.parametrize("end", [_stay, _leave, Worker.die])
def test_a_queue_is_taken_back_only_as_there_is_room_for_it(end: Callable[[Worker], None]) -> None:
    with (
        Gateway(*QUICKLY, descriptors=DESCRIPTORS) as gateway,
        Worker(gateway.run, takes=False) as worker,
        contextlib.ExitStack() as stack,
    ):
        gateway.control.table({"/api/tasks": live("tasks", worker)})
        queue = [stack.enter_context(gateway.client(get("/api/tasks"))) for _ in range(QUEUE)]
        until_sync(lambda: count(gateway, "handed")() == QUEUE, what="the worker to have a queue")
        for _ in range(HELD):
            stack.enter_context(gateway.client(b"GET /api"))
        until_sync(lambda: count(gateway, "accepted")() == QUEUE + HELD, what="the gateway to hold many")
        end(worker)
        for client in queue:
            assert client.reply().status == 503
            client.close()


def test_one_worker_has_a_share_of_what_may_be_under_way() -> None:
    with (
        Gateway(descriptors=DESCRIPTORS) as gateway,
        Worker(gateway.run, takes=False) as stuck,
        contextlib.ExitStack() as stack,
    ):
        gateway.control.table({"/api/tasks": live("tasks", stuck)})
        clients = [stack.enter_context(gateway.client(get("/api/tasks"))) for _ in range(150)]
        until_sync(lambda: count(gateway, "handed")() + count(gateway, "parked")() == len(clients), what="all to wait")
        assert count(gateway, "handed")() < DESCRIPTORS // 3
        stuck.take()
        assert [client.reply().status for client in clients] == [200] * len(clients)


def test_a_gateway_that_may_send_nothing_for_the_moment_rests_meanwhile() -> None:
    patience = ("--park-deadline", "1", "--ending-deadline", "0.1")
    with Gateway(*patience, descriptors=128, rights=False) as gateway, contextlib.ExitStack() as stack:
        stuck = [stack.enter_context(Worker(gateway.run, f"s{number}", takes=False)) for number in range(4)]
        gateway.control.table({f"/api/{worker.name}": live(worker.name, worker) for worker in stuck})
        for worker in stuck:
            for _ in range(50):
                stack.enter_context(gateway.client(get(f"/api/{worker.name}", "Connection: close")))
        until_sync(count(gateway, "parked"), what="more to be under way than may be")
        before = gateway.processor_seconds
        with gateway.client(get("/api/s0")) as client:
            assert client.reply().status == 503, "after as long as a connection may wait"
        assert gateway.processor_seconds - before < 0.5
        stuck[0].take()
        until_sync(lambda: gateway.get("/api/s0").status == 200, what="it to go on")
