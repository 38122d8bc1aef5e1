"""What a worker counts reaches whoever listens once, and none of it is lost when listeners and workers go."""

import os
import signal
from collections.abc import Iterable

from bench.metrics import without_counting
from tests.inside.stage import Message, Wire, Worker, Zygote, request

CODE = """
import asyncio
from fastapi import APIRouter, WebSocket
from fastapi.responses import Response, StreamingResponse

router = APIRouter()

@router.get("/status/{code}")
async def status(code: int):
    return Response("x", status_code=code)

@router.get("/slow")
async def slow():
    await asyncio.sleep(30)

@router.get("/broken")
async def broken():
    raise RuntimeError("broken")

@router.get("/events")
async def events():
    async def parts():
        yield "data: one\\n\\n"
    return StreamingResponse(parts(), media_type="text/event-stream")
"""


def started(zygote: Zygote) -> Worker:
    worker = zygote.fork(CODE)
    worker.ready()
    return worker


def total(messages: Iterable[Message]) -> list[int]:
    return [sum(each) for each in zip(*(message["answers"] for message in messages), strict=True)]


def counted(wire: Wire, answers: int, *, so_far: int = 0) -> list[Message]:
    """What it says until that many answers were told."""
    told: list[Message] = []
    while so_far + sum(total(told) if told else [0]) < answers:
        told.append(wire.next("counted"))
    return told


def test_answers_are_told_by_class_and_each_of_them_once(zygote: Zygote) -> None:
    worker = started(zygote)
    worker.wire.send({"op": "count"})
    client = worker.attach().client()
    for path in ("status/200", "status/201", "status/302", "status/404", "status/503", "broken"):
        client.ask("GET", f"/api/tasks/{path}")
    told = counted(worker.wire, 6)
    assert total(told) == [0, 0, 2, 1, 1, 2]
    assert sum(sum(message["times"]) for message in told) == 6
    assert sum(message["seconds"] for message in told) > 0


def test_what_nobody_heard_waits_for_whoever_comes_next(zygote: Zygote) -> None:
    worker = started(zygote)
    client = worker.attach().client()
    client.ask("GET", "/api/tasks/status/200")
    first = Wire(worker.spec["socket"])
    first.send({"op": "count"})
    assert total(counted(first, 1)) == [0, 0, 1, 0, 0, 0]
    first.close()
    for _ in range(3):
        client.ask("GET", "/api/tasks/status/200")
    second = Wire(worker.spec["socket"])
    second.send({"op": "count"})
    assert total(counted(second, 3)) == [0, 0, 3, 0, 0, 0]
    second.close()


def test_the_last_counts_are_told_before_the_worker_says_that_it_stopped(zygote: Zygote) -> None:
    worker = started(zygote)
    worker.wire.send({"op": "count"})
    client = worker.attach().client()
    for _ in range(20):
        client.ask("GET", "/api/tasks/status/200")
    worker.retire()
    assert total(counted(worker.wire, 20)) == [0, 0, 20, 0, 0, 0]
    worker.stopped()


def test_a_suite_is_not_counted(zygote: Zygote) -> None:
    worker = started(zygote)
    worker.get("/status/500")
    worker.wire.send({"op": "count"})
    assert worker.wire.next("counted")["answers"] == [0] * 6


def test_a_stream_of_events_is_counted_and_not_timed(zygote: Zygote) -> None:
    worker = started(zygote)
    worker.wire.send({"op": "count"})
    worker.attach().client().ask("GET", "/api/tasks/events")
    told = counted(worker.wire, 1)
    assert total(told) == [0, 0, 1, 0, 0, 0] and not any(any(message["times"]) for message in told)


def test_what_the_worker_refuses_itself_is_counted(zygote: Zygote) -> None:
    worker = started(zygote)
    worker.wire.send({"op": "count"})
    client = worker.attach().client(b"GET /api/tasks/ HTTP/1.1\r\nBad Header\r\n\r\n")
    assert client.answer().status == 400
    assert total(counted(worker.wire, 1)) == [0, 0, 0, 0, 1, 0]


def test_a_client_that_hangs_up_leaves_a_request_unanswered(zygote: Zygote) -> None:
    worker = started(zygote)
    worker.wire.send({"op": "count"})
    client = worker.attach().client(request("GET", "/api/tasks/slow"))
    while not (message := worker.wire.next("counted"))["in_flight"]:
        pass
    assert message["connections"] == 1
    client.sock.close()
    while not (message := worker.wire.next("counted"))["unanswered"]:
        pass
    assert (message["unanswered"], message["in_flight"], message["connections"]) == (1, 0, 0)


def test_an_answer_that_ends_its_connection_is_not_unanswered(zygote: Zygote) -> None:
    worker = started(zygote)
    worker.wire.send({"op": "count"})
    client = worker.attach().client()
    assert client.ask("GET", "/api/tasks/status/200", Connection="close").status == 200
    worker.retire()
    told = counted(worker.wire, 1)
    assert total(told)[2] == 1 and not any(message["unanswered"] for message in told)


def test_a_listener_that_dies_keeps_the_worker_from_nothing(zygote: Zygote) -> None:
    worker = started(zygote)
    listener = Wire(worker.spec["socket"])
    listener.send({"op": "count"})
    listener.close()
    client = worker.attach().client()
    assert client.ask("GET", "/api/tasks/status/200").status == 200
    worker.wire.send({"op": "count"})
    assert total(counted(worker.wire, 1))[2] == 1
    os.kill(worker.pid, signal.SIGTERM)
    worker.stopped()


def test_what_the_bench_cuts_out_is_what_counts() -> None:
    with without_counting() as copy:
        assert "tally.answered" not in (copy / "reconciler" / "inside" / "connection.py").read_text()
