"""Workers that a route names and that are not attached: the gateway goes on trying, for control says a route once."""

import contextlib
from pathlib import Path

from tests.gateway.neighbours import Gateway, Worker, count, get, live, serving, unready
from tests.waiting import until_sync


def test_a_worker_that_could_not_be_attached_is_attached_later() -> None:
    with Gateway() as gateway, Worker(gateway.run) as worker:
        here = Path(worker.address.socket)
        elsewhere = here.rename(here.with_suffix(".away"))
        assert gateway.control.table({"/api/tasks": live("tasks", worker)}) == [worker.name]
        with gateway.client(get("/api/tasks")) as client:
            until_sync(count(gateway, "parked"), what="the client to wait")
            elsewhere.rename(here)
            assert client.reply().body == b"tasks-1.1"


def test_a_moment_without_descriptors_leaves_no_service_without_its_worker() -> None:
    with Gateway(descriptors=96) as gateway, contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(gateway.run, f"s{number}")) for number in range(14)]
        gateway.control.table({"/api/none": unready("none")})
        idle = [stack.enter_context(gateway.client(get("/api/none"))) for _ in range(50)]
        until_sync(lambda: count(gateway, "held")() == len(idle), what="the descriptors to be used up")
        failed = [
            name for worker in workers for name in gateway.control.route(f"/api/{worker.name}", live("s", worker))
        ]
        assert failed, "there was none left"
        for client in idle:
            client.close()
        assert [gateway.get(f"/api/{worker.name}").body for worker in workers] == [
            worker.name.encode() for worker in workers
        ]


def test_a_worker_that_was_let_go_of_gets_a_second_chance() -> None:
    with serving("--park-deadline", "0.3") as (gateway, worker):
        _be_let_go_of(worker)
        until_sync(lambda: gateway.get("/api/tasks").status == 200, what="it to be attached again")


def test_a_worker_that_no_route_names_any_more_is_not_met_again() -> None:
    with serving("--park-deadline", "0.3") as (gateway, former), Worker(gateway.run, "tasks-2.1") as new:
        _be_let_go_of(former)
        gateway.control.route("/api/tasks", live("tasks", new))
        with gateway.client(get("/api/empty")):
            gateway.control.route("/api/empty", live("empty"))
            until_sync(lambda: gateway.get("/api/empty").status == 503, what="as long as that to have passed")
        assert count(gateway, "workers")() == 1


def _be_let_go_of(worker: Worker) -> None:
    until_sync(lambda: worker.channels, what="the gateway to attach")
    first = worker.controls[0]
    worker.channels[0].send(b"nonsense")
    until_sync(lambda: first not in worker.controls, what="it to be let go of")
