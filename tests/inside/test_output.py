"""One line of output, one record: with its time, its worker and its request."""

import datetime
import json
import threading
import time
from pathlib import Path

import pytest

from reconciler.inside.output import RECORD_LIMIT, REQUEST, Output, OutputFile, Speaker
from reconciler.inside.streams import Lines
from tests.inside.stage import Zygote
from tests.waiting import until_sync

CODE = """
import asyncio, logging, os, subprocess, sys, warnings
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from fastapi import APIRouter, BackgroundTasks
router = APIRouter()
logger = logging.getLogger("shop.orders")

@router.get("/print")
async def say():
    print("one"); print("two", "parts"); print("err", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes\\n")

@router.get("/thread")
def thread(): print("in a thread")

@router.get("/behind")
async def behind(tasks: BackgroundTasks):
    tasks.add_task(print, "behind the answer")
    async def beside(): print("in a task")
    await asyncio.create_task(beside())
    await asyncio.to_thread(print, "in a thread of its own")
    with ThreadPoolExecutor() as pool:
        pool.submit(copy_context().run, print, "in a pool, with its context")
        pool.submit(print, "in a pool, without")

@router.get("/log")
async def log():
    logger.info("order %d", 7)
    logger.debug("not shown")
    try: 1 / 0
    except ZeroDivisionError: logger.exception("it broke")
    logger.log(25, "in between")

@router.get("/raw")
async def raw():
    os.write(1, b"raw out\\n")
    subprocess.run(["sh", "-c", "echo child out; echo child err >&2"])

@router.get("/crash")
async def crash(): raise RuntimeError("unforeseen")

@router.get("/flood")
def flood():
    for number in range(40_000): print(number)

@router.get("/rawflood")
def rawflood(): os.write(1, b"".join(b"%d\\n" % number for number in range(40_000)))
"""


def test_what_a_request_prints_carries_its_id(zygote: Zygote) -> None:
    worker = zygote.fork(CODE)
    worker.ready()
    with worker.private() as client:
        for path in ("print", "thread", "log"):
            client.ask("GET", f"/api/tasks/{path}", x_request_id=f"id-{path}")
    records = [record for record in worker.records() if record["request"]]
    assert [(r["request"], r["stream"], r["level"], r["message"].splitlines()[0]) for r in records] == [
        ("id-print", "stdout", "INFO", "one"),
        ("id-print", "stdout", "INFO", "two parts"),
        ("id-print", "stderr", "WARNING", "err"),
        ("id-print", "stdout", "INFO", "bytes"),
        ("id-thread", "stdout", "INFO", "in a thread"),
        ("id-log", "log", "INFO", "order 7"),
        ("id-log", "log", "ERROR", "it broke"),
        ("id-log", "log", "INFO", "in between"),
    ]
    assert records[-2]["logger"] == "shop.orders" and "ZeroDivisionError" in records[-2]["message"]
    assert {(r["service"], r["release"], r["worker"]) for r in records} == {
        ("tasks", "tasks-1", worker.spec["worker"]),
    }
    assert all(datetime.datetime.fromisoformat(record["time"]).tzinfo is datetime.UTC for record in records)
    assert (worker.output / "current.jsonl").stat().st_mode & 0o777 == 0o600


def test_tasks_and_threads_of_a_request_carry_its_id(zygote: Zygote) -> None:
    worker = zygote.fork(CODE)
    worker.ready()
    with worker.private() as client:
        client.ask("GET", "/api/tasks/behind", x_request_id="id-1")
    worker.said("behind the answer")
    requests = {record["message"]: record["request"] for record in worker.records()}
    # A pool's threads outlive requests: to give them the one that started them would be to give them a wrong one.
    assert requests.pop("in a pool, without") is None
    assert len(requests) == 4 and set(requests.values()) == {"id-1"}


def test_an_unforeseen_error_is_logged_with_its_request(zygote: Zygote) -> None:
    worker = zygote.fork(CODE)
    worker.ready()
    with worker.private() as client:
        assert client.ask("GET", "/api/tasks/crash", x_request_id="id-1").status == 500
    # The framework raises it again after it has answered.
    record = until_sync(lambda: [record for record in worker.records() if "unforeseen" in record["message"]])[0]
    assert (record["request"], record["level"], record["logger"]) == ("id-1", "ERROR", "uvicorn.error")


def test_raw_descriptors_and_child_processes_are_heard(zygote: Zygote) -> None:
    worker = zygote.fork(CODE)
    worker.ready()
    worker.get("/raw")
    for message, stream in (("raw out", "stdout"), ("child out", "stdout"), ("child err", "stderr")):
        record = worker.said(message)
        assert (record["stream"], record["request"], record["worker"]) == (stream, None, worker.spec["worker"])


@pytest.mark.parametrize("path", ["/flood", "/rawflood"])
def test_a_flood_is_cut_off_and_counted(zygote: Zygote, path: str) -> None:
    worker = zygote.fork(CODE, output_limit=50_000_000)
    worker.ready()
    began = time.monotonic()
    worker.get(path)
    worker.retire()
    assert worker.exited() == 0
    took = time.monotonic() - began
    messages = [record["message"] for record in worker.records()]
    kept = [message for message in messages if message.isdecimal()]
    dropped = [int(message.split()[0]) for message in messages if message.endswith(" lines dropped")]
    assert 20_000 <= len(kept) <= 20_000 + 5_000 * took + 1
    assert len(kept) + sum(dropped) == 40_000


def test_a_service_never_keeps_more_than_twice_its_limit(zygote: Zygote) -> None:
    worker = zygote.fork(CODE.replace("40_000", "10_000"), output_limit=200_000)
    worker.ready()
    worker.get("/flood")
    worker.get("/rawflood")
    worker.retire()
    assert worker.exited() == 0
    sizes = {file.name: file.stat().st_size for file in worker.output.iterdir()}
    assert set(sizes) == {"current.jsonl", "previous.jsonl"}
    # One record may pass the mark, for each process that writes.
    assert max(sizes.values()) < 200_000 + 2 * RECORD_LIMIT
    assert worker.records()[-1]["message"] == "9999"


SPEAKER = Speaker("tasks", "tasks-1", "tasks-1.1")


def read(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "current.jsonl").read_text().splitlines()]


def test_many_writers_share_the_files_without_mixing_or_losing(tmp_path: Path) -> None:
    def write(number: int) -> None:
        output = Output(OutputFile(tmp_path, 10_000_000), SPEAKER)
        for line in range(500):
            output.write("stdout", f"{number}:{line}" + "x" * 100)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(read(tmp_path)) == 2000


@pytest.mark.parametrize("character", ["x", "é", "\x01", "\U0001f600", "\udc80"])
def test_a_long_line_is_cut_to_one_record(tmp_path: Path, character: str) -> None:
    Output(OutputFile(tmp_path, 10_000_000), SPEAKER).write("stdout", character * 50_000)
    assert (tmp_path / "current.jsonl").stat().st_size <= RECORD_LIMIT
    (record,) = read(tmp_path)
    assert str(record["message"]).endswith("[cut]") and len(str(record["message"])) > 1000


def test_every_request_has_an_unfinished_line_of_its_own(tmp_path: Path) -> None:
    lines = Lines(Output(OutputFile(tmp_path, 10_000_000), SPEAKER), "stdout", 1)
    for request_id, text in (("a", "half"), ("b", "other\n"), ("a", " and half\nrest")):
        REQUEST.set(request_id)
        lines.write(text)
    REQUEST.set(None)
    lines.finish()
    assert [(record["request"], record["message"]) for record in read(tmp_path)] == [
        ("b", "other"),
        ("a", "half and half"),
        ("a", "rest"),
    ]


def test_dropped_lines_are_announced_while_the_flood_lasts(tmp_path: Path) -> None:
    output = Output(OutputFile(tmp_path, 10_000_000), SPEAKER, rate=100, burst=10)
    called = []
    output.on_drop = lambda: called.append(True)
    for _ in range(50):
        output.write("stdout", "line")
    assert called

    def settled() -> bool:
        output.settle()
        return str(read(tmp_path)[-1]["message"]).endswith("lines dropped")

    until_sync(settled, what="the count of dropped lines")
