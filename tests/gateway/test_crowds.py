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
QUICKLY = ("--park-deadline", "0.3", "--ending-deadline", "0.1")


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
