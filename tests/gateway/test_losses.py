"""Switches and deaths under load: every request that was sent is counted, and every answer."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from tests.gateway.neighbours import Client, Gateway, Worker, count, get, live, request, serving
from tests.waiting import until_sync


class Load:
    """Clients that never stop asking. A failure at any stage is kept with the stage's name."""

    def __init__(self, gateway: Gateway, *, connections: int, kept_alive: bool) -> None:
        self.answers: Counter[bytes] = Counter()
        self.failures: list[str] = []
        self.connects = 0
        self._gateway = gateway
        self._kept_alive = kept_alive
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(connections)]

    def _ask(self, number: int) -> None:
        sent = get("/api/tasks/version") if number % 2 else request("POST", "/api/tasks/version", body=b"x" * 100)
        client: Client | None = None
        while not self._over.is_set():
            stage = "connect"
            try:
                if client is None:
                    client = self._gateway.client()
                    self.connects += 1
                stage = "write"
                client.send(sent)
                stage = "answer"
                reply = client.reply()
                self.answers[reply.body if reply.status == 200 else b"%d" % reply.status] += 1
            except (OSError, EOFError) as error:
                self.failures.append(f"{stage}: {error!r}")
            if client is not None and (not self._kept_alive or self.failures):
                client.close()
                client = None
        if client is not None:
            client.close()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)


def test_no_request_is_lost_over_forty_switches_with_a_connection_each() -> None:
    _switch_under_load(kept_alive=False, switches=40)


def test_no_request_is_lost_over_forty_switches_of_kept_connections() -> None:
    load = _switch_under_load(kept_alive=True, switches=40)
    assert load.connects == 8, "and no connection either"


def _switch_under_load(*, kept_alive: bool, switches: int) -> Load:
    keep = "hand back" if kept_alive else "close"
    with Gateway() as gateway, contextlib.ExitStack() as workers:
        old = workers.enter_context(Worker(gateway.run, "tasks-0.1", keep=keep))
        gateway.control.table({"/api/tasks": live("tasks", old)})
        with Load(gateway, connections=8, kept_alive=kept_alive) as load:
            for number in range(1, switches + 1):
                new = workers.enter_context(Worker(gateway.run, f"tasks-{number}.1", keep=keep))
                gateway.control.route("/api/tasks", live("tasks", new), old.address)
                until_sync(lambda: load.answers[new.name.encode()] or load.failures, what="the new one to answer")  # noqa: B023
                old = new
    assert load.failures == []
    assert load.answers.keys() >= {f"tasks-{number}.1".encode() for number in range(1, switches + 1)}
    assert all(name.startswith(b"tasks-") for name in load.answers), "only workers answered"
    return load


def test_a_worker_killed_under_load_loses_at_most_what_it_was_answering() -> None:
    with Gateway() as gateway, contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(gateway.run, f"tasks-1.{number}")) for number in range(3)]
        gateway.control.table({"/api/tasks": live("tasks", *workers)})
        with Load(gateway, connections=8, kept_alive=False) as load:
            for worker in workers[:2]:
                until_sync(lambda: load.answers[worker.name.encode()] > 20, what="some load")  # noqa: B023
                worker.die()
            seen = load.answers[b"tasks-1.2"]
            until_sync(lambda: load.answers[b"tasks-1.2"] > seen + 100, what="the last one to answer")
        assert load.failures == [], "these workers answer one after the other, and finish the one they are at"


def test_a_killed_gateway_loses_nothing_that_waits_or_is_with_a_worker() -> None:
    with serving(takes=False) as (gateway, worker), contextlib.ExitStack() as stack:
        at_worker = [stack.enter_context(gateway.client(get("/api/tasks"))) for _ in range(20)]
        until_sync(lambda: count(gateway, "handed")() == 20, what="the worker to have them")
        gateway.kill()
        waiting = [stack.enter_context(gateway.client(get("/api/tasks"))) for _ in range(50)]
        worker.take()
        assert [client.reply().status for client in at_worker] == [200] * 20
        gateway.control.close()
        gateway.start()
        gateway.control.table({"/api/tasks": live("tasks", worker)})
        assert [client.reply().status for client in waiting] == [200] * 50
        assert gateway.get("/api/tasks").status == 200


def test_a_gateway_killed_under_load_costs_no_request_that_it_did_not_hold() -> None:
    with serving() as (gateway, worker), _restarts(gateway, worker) as restart:
        with Load(gateway, connections=4, kept_alive=False) as load:
            for _ in range(3):
                answered = load.answers.total()
                until_sync(lambda: load.answers.total() > answered + 50, what="some load")  # noqa: B023
                restart()
        held_at_once = 4
        assert len(load.failures) <= 3 * held_at_once, "it had accepted these and not handed them over yet"
        assert set(load.answers) == {b"tasks-1.1"}


@contextlib.contextmanager
def _restarts(gateway: Gateway, worker: Worker) -> Iterator[Callable[[], None]]:
    def restart() -> None:
        os.kill(gateway.process.pid, signal.SIGKILL)
        gateway.process.wait()
        gateway.control.close()
        gateway.start()
        gateway.control.table({"/api/tasks": live("tasks", worker)})

    yield restart


def test_idle_connections_survive_a_switch_and_their_posts_are_answered_by_the_new() -> None:
    idle = 200
    with (
        serving(keep="keep") as (gateway, old),
        Worker(gateway.run, "tasks-2.1") as new,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(gateway.client(get("/api/tasks"))) for _ in range(idle)]
        for client in clients:
            assert client.reply().body == b"tasks-1.1"
        until_sync(lambda: len(old.kept) == idle, what="the old worker to keep them")
        sender = threading.Thread(target=_post_around_now, args=(clients,))
        sender.start()
        gateway.control.route("/api/tasks", live("tasks", new), old.address)
        while old.kept:
            old.hand_back(*old.kept.pop())
        sender.join()
        assert Counter(client.reply().body for client in clients) == {b"tasks-2.1": idle}
        assert count(gateway, "accepted")() == idle


def _post_around_now(clients: list[Client]) -> None:
    for client in clients:
        client.send(request("POST", "/api/tasks", body=b"hello"))
        time.sleep(0.0001)
