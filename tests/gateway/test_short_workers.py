"""Workers that have used up their descriptors: whoever was sent to them is answered all the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.forked import route
from tests.gateway.neighbours import Gateway, get
from tests.inside.stage import Wire, Worker, Zygote
from tests.waiting import until_sync

LIMIT = 64
CLIENTS = 2 * LIMIT
PATH = "/api/tasks/"

ROUTER = """
import asyncio, contextlib, os
from fastapi import APIRouter, BackgroundTasks
from fastapi.responses import PlainTextResponse, StreamingResponse

router = APIRouter()
opened = []

@router.get("/")
async def root(): return PlainTextResponse("fine")

@router.get("/open-all")
async def open_all(tasks: BackgroundTasks):
    tasks.add_task(close_all)
    while True:
        try:
            opened.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            return PlainTextResponse(str(error.errno))

async def close_all():
    while not os.path.exists("gate"):
        with contextlib.suppress(OSError):
            opened.append(os.open("/dev/null", os.O_RDONLY))
        await asyncio.sleep(0.001)
    while opened:
        os.close(opened.pop())

async def gate():
    while not os.path.exists("gate"):
        await asyncio.sleep(0.01)

@router.get("/events")
async def events():
    async def parts():
        yield "data: first\\n\\n"
        await gate()
    return StreamingResponse(parts(), media_type="text/event-stream")
"""


@pytest.fixture
def stage(zygote: Zygote) -> Iterator[tuple[Gateway, Worker]]:
    with Gateway("--park-deadline", "5") as gateway:
        gateway.control.table({})
        worker = short_worker(zygote)
        gateway.control.route("/api/tasks", route(worker))
        yield gateway, worker


def short_worker(zygote: Zygote) -> Worker:
    worker = zygote.fork(ROUTER, limits={"files": LIMIT})
    worker.ready()
    return worker


def test_more_kept_connections_than_descriptors_are_all_served_again_and_again(stage: tuple[Gateway, Worker]) -> None:
    gateway, _ = stage
    clients = [gateway.client() for _ in range(CLIENTS)]
    for _ in range(3):
        for client in clients:
            client.send(get(PATH))
        assert [client.reply().status for client in clients] == [200] * CLIENTS
    for client in clients:
        client.close()


def open_gate(worker: Worker) -> None:
    (Path(worker.spec["code"]) / "gate").touch()


def test_what_a_full_worker_cannot_take_waits_until_it_can(stage: tuple[Gateway, Worker]) -> None:
    gateway, worker = stage
    assert gateway.get(PATH + "open-all").body == b"24"
    with gateway.client(get(PATH)) as waiting:
        open_gate(worker)
        assert waiting.reply().body == b"fine"


def test_what_a_full_worker_never_takes_is_told_to_try_again(stage: tuple[Gateway, Worker]) -> None:
    gateway, worker = stage
    streams = [gateway.client(get(PATH + "events")) for _ in range(LIMIT)]
    until_sync(lambda: worker.stats()["in_flight"] > 8, what="streams that hold the worker's descriptors")
    with gateway.client(get(PATH)) as late:
        assert late.reply().status == 503
    open_gate(worker)
    for stream in streams:
        stream.close()


def test_what_a_full_worker_cannot_take_is_served_by_another(stage: tuple[Gateway, Worker], zygote: Zygote) -> None:
    gateway, worker = stage
    assert gateway.get(PATH + "open-all").body == b"24"
    other = short_worker(zygote)
    with gateway.client(get(PATH)) as waiting:
        gateway.control.route("/api/tasks", route(worker, other))
        assert waiting.reply().body == b"fine"


def test_gateways_that_come_while_a_worker_is_full_are_heard(stage: tuple[Gateway, Worker]) -> None:
    """However many come: what the last one held is not the service's own."""
    gateway, worker = stage
    assert gateway.get(PATH + "open-all").body == b"24"
    for _ in range(4):
        gateway.control.close()
        gateway.kill()
        gateway.start()
        assert gateway.control.table({"/api/tasks": route(worker)}) == []
        next_control = Wire(worker.spec["socket"])
        assert next_control.next("hello")
        next_control.close()
    with gateway.client(get(PATH)) as waiting:
        open_gate(worker)
        assert waiting.reply().body == b"fine"
