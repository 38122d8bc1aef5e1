"""Connections come back with what a worker had read of them, and the gateway holds only so much of that."""

import contextlib

from reconciler.gateway.returns import LOAD_OF_ONE
from tests.gateway.neighbours import Gateway, Worker, count, get, live, request, serving
from tests.waiting import until_sync

MEBIBYTE = 1024 * 1024
AT_ONCE = LOAD_OF_ONE // MEBIBYTE
MANY = 3 * AT_ONCE
QUICKLY = ("--park-deadline", "2", "--ending-deadline", "0.1")


def test_a_worker_cannot_fill_the_gateway_and_no_client_of_it_is_lost() -> None:
    unread = request("POST", "/api/away", body=bytes(MEBIBYTE))
    with serving(*QUICKLY, keep="keep") as (gateway, worker), contextlib.ExitStack() as stack:
        gateway.control.route("/api/away", live("away"))
        clients = [stack.enter_context(gateway.client(get("/api/tasks"))) for _ in range(MANY)]
        for client in clients:
            assert client.reply().status == 200
        until_sync(lambda: len(worker.kept) == MANY, what="the worker to keep them")
        _hand_all_back(worker, unread)
        held = _most_held_until_all_are_back(gateway)
        assert held <= AT_ONCE + 1, "the rest waits in the channel"
        assert gateway.get("/api/tasks").status == 200, "and the worker is still trusted"
        assert [client.reply().status for client in clients] == [503] * MANY


def _hand_all_back(worker: Worker, unread: bytes) -> None:
    while worker.kept:
        fd, _ = worker.kept.pop()
        worker.hand_back(fd, unread)


def _most_held_until_all_are_back(gateway: Gateway) -> int:
    held = []

    def look() -> bool:
        held.append(count(gateway, "held")() - count(gateway, "idle")())
        return count(gateway, "returned")() == MANY

    until_sync(look, what="all to be back")
    return max(held)
