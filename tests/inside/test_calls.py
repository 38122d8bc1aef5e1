"""Functions that control asks a worker to call, with their output, their limits and what becomes of requests
meanwhile."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.inside.stage import Message, Wire, Worker, Zygote
from tests.waiting import until_sync

JOBS = """
import asyncio
import logging
import sys
import time

from router import seen


def tidy(days=7, *, dry=False):
    print(f"tidies {days} {dry}")
    seen.append(days)
    return {"removed": days}


async def mail(to="all"):
    print("begins")
    await asyncio.sleep(0)
    logging.getLogger("mail").warning("mailed %s", to)


def wrong():
    raise ValueError("no such thing")


def leaves():
    sys.exit(3)


async def stops():
    raise KeyboardInterrupt


def odd():
    raise StopIteration


def slow(seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def stuck():
    time.sleep(60)


async def late():
    await asyncio.sleep(60)


class Unprintable:
    def __repr__(self):
        raise RuntimeError


def strange():
    return Unprintable()


def much():
    return "x" * 100_000


not_a_function = 7


def gated():
    import os

    while not os.path.exists("gate"):
        time.sleep(0.01)
"""
ROUTER = """
from fastapi import APIRouter

router = APIRouter()
seen = []


@router.get("/seen")
def look():
    return seen
"""
FILES: Mapping[str, str] = {"router.py": ROUTER, "jobs.py": JOBS}


@pytest.fixture
def worker(zygote: Zygote) -> Worker:
    worker = zygote.fork(FILES, calls=["jobs:tidy"])
    worker.ready()
    return worker


def call(worker: Worker, name: str, run: str = "run-1", timeout: float = 10.0, **arguments: object) -> Message:
    begin(worker, name, run, timeout, **arguments)
    return worker.wire.next("called", run=run)


def begin(worker: Worker, name: str, run: str = "run-1", timeout: float = 10.0, **arguments: object) -> None:
    asked = {"op": "call", "run": run, "call": f"jobs:{name}", "arguments": arguments, "timeout": timeout}
    worker.wire.send(asked)


def test_a_function_is_called_in_the_process_that_serves(worker: Worker) -> None:
    told = call(worker, "tidy", days=3, dry=True)
    assert (told["state"], told["message"]) == ("done", "returned {'removed': 3}")
    assert worker.get("/seen").json == [3]
    assert worker.said("tidies 3 True")["request"] == "run-1"


def test_a_coroutine_runs_on_the_loop_with_its_output_under_its_run(worker: Worker) -> None:
    assert call(worker, "mail", run="run-7", to="Ada")["state"] == "done"
    assert [worker.said(line)["request"] for line in ("begins", "mailed Ada")] == ["run-7", "run-7"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong", "ValueError: no such thing (jobs.py:23)"),
        ("leaves", "The service called sys.exit(3) while it was called. (jobs.py:27)"),
        ("stops", "KeyboardInterrupt (jobs.py:31)"),
        ("odd", "RuntimeError: coroutine raised StopIteration (jobs.py:35)"),
        ("nothing", "jobs.py has no attribute nothing."),
        ("not_a_function", "not_a_function in jobs.py is of type int, not a function."),
    ],
)
def test_whatever_it_raises_is_told_and_harms_nobody(worker: Worker, name: str, message: str) -> None:
    told = call(worker, name)
    assert (told["state"], told["message"]) == ("failed", message)
    assert call(worker, "tidy", run="run-2")["state"] == "done"


def test_a_traceback_comes_along_and_stands_in_the_log(worker: Worker) -> None:
    detail = call(worker, "wrong")["detail"]
    assert detail.startswith("Traceback") and 'raise ValueError("no such thing")' in detail
    assert "calls.py" not in detail
    logged = until_sync(lambda: [one for one in worker.records() if "ValueError" in one["message"]], what="the log")
    assert logged[0]["request"] == "run-1"


def test_wrong_arguments_are_told_as_python_tells_them(worker: Worker) -> None:
    told = call(worker, "tidy", weeks=1)
    assert told["state"] == "failed"
    assert "unexpected keyword argument 'weeks'" in told["message"]


def test_what_it_returns_is_shown_in_short(worker: Worker) -> None:
    assert call(worker, "strange")["message"] == "returned a Unprintable"
    assert len(call(worker, "much", run="run-2")["message"]) < 400


@pytest.mark.parametrize("name", ["slow", "late"])
def test_what_takes_too_long_is_ended(worker: Worker, name: str) -> None:
    begun = time.monotonic()
    told = call(worker, name, timeout=0.2)
    assert (told["state"], told["message"]) == ("timed-out", "it took longer than 0.2 s")
    assert time.monotonic() - begun < 10


def test_a_thread_that_cannot_be_ended_is_told_of_and_keeps_nobody_waiting(worker: Worker) -> None:
    begun = time.monotonic()
    assert call(worker, "stuck", timeout=0.1)["state"] == "timed-out"
    assert time.monotonic() - begun < 10
    assert worker.said("the thread of this call could not be ended; it goes on until its worker does")
    assert worker.get("/seen").status == 200


def test_requests_are_answered_while_many_calls_are_busy(worker: Worker) -> None:
    for n in range(60):
        begin(worker, "gated", run=f"run-{n}", timeout=60.0)
    assert worker.get("/seen").status == 200
    (Path(worker.spec["code"]) / "gate").touch()
    for n in range(60):
        assert worker.wire.next("called")["state"] == "done", n


def test_a_run_that_is_asked_for_twice_is_one_call(worker: Worker) -> None:
    begin(worker, "slow", seconds=0.3)
    begin(worker, "slow", seconds=0.3)
    assert worker.wire.next("called", run="run-1")["state"] == "done"
    assert call(worker, "tidy", run="run-2")["state"] == "done"


def test_a_drain_waits_for_a_call(worker: Worker) -> None:
    begin(worker, "slow", seconds=0.3)
    worker.retire()
    assert worker.wire.next("called", run="run-1")["state"] == "done"
    assert worker.stopped()["calls"] == 0


@pytest.mark.parametrize("name", ["slow", "late"])
def test_what_a_drain_cuts_is_interrupted_and_counted(worker: Worker, name: str) -> None:
    begin(worker, name)
    worker.retire(drain=0.2)
    assert worker.wire.next("called", run="run-1")["state"] == "interrupted"
    assert worker.stopped()["calls"] == 1


def test_whoever_connects_later_learns_what_runs_and_what_became_of_the_rest(worker: Worker) -> None:
    call(worker, "tidy", run="run-1")
    begin(worker, "slow", run="run-2", seconds=3.0)
    later = Wire(worker.spec["socket"])
    assert later.next("called", run="run-1")["state"] == "done"
    assert later.next("calls")["running"] == ["run-2"]
    assert later.next("called", run="run-2")["state"] == "done"
    later.close()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("jobs:tidyy", "jobs.py has no attribute tidyy."),
        ("jobs:not_a_function", "not_a_function in jobs.py is of type int, not a function."),
        ("nowhere:tidy", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_a_release_without_a_function_that_cron_needs_does_not_start(zygote: Zygote, call: str, message: str) -> None:
    failed = zygote.fork(FILES, calls=["jobs:tidy", call]).failed()
    assert (failed["reason"], failed["message"]) == ("ImportFailed", message)


WATCHED = """
import os

from fastapi import APIRouter

router = APIRouter()


@router.get("/candidate")
def candidate():
    return os.environ.get("RECONCILER_CANDIDATE")


def seen():
    return (candidate(),)
"""


def test_a_worker_can_tell_whether_its_release_has_the_traffic(zygote: Zygote) -> None:
    worker = zygote.fork(WATCHED, environ={"RECONCILER_CANDIDATE": "1"})
    worker.ready()
    assert worker.get("/candidate").json == "1"
    worker.wire.send({"op": "promote"})
    worker.stats()
    assert worker.get("/candidate").json is None
    # The release before is parked behind a new one, where nobody can ask it over HTTP, and may return.
    for op, seen in (("park", "'1'"), ("resume", "None")):
        worker.wire.send({"op": op, "drain": 10.0})
        worker.wire.send({"op": "call", "run": op, "call": "router:seen", "arguments": {}, "timeout": 10.0})
        assert worker.wire.next("called", run=op)["message"] == f"returned ({seen},)"


# Further commands


def command(zygote: Zygote, *words: str, **fields: Any) -> Message:
    spec = zygote.spec({"tasks.py": ""}, command=list(words), **fields)
    zygote.wire.send({"op": "fork", "spec": spec})
    spec["pid"] = zygote.wire.next("forked", worker=spec["worker"])["pid"]
    return spec


def test_a_command_runs_with_the_settings_and_secrets_of_its_release(zygote: Zygote) -> None:
    script = 'echo "$A ${#B} $(pwd)"; echo wrong >&2; exit 7'
    spec = command(zygote, "sh", "-c", script, environ={"A": "plain", "PATH": "/usr/bin:/bin"}, secrets={"B": "hidden"})
    assert zygote.wire.next("exited", worker=spec["worker"])["status"] == 7 << 8
    records = _records(spec)
    assert [(one["stream"], one["message"]) for one in records] == [
        ("stdout", f"plain 6 {spec['code']}"),
        ("stderr", "wrong"),
    ]
    assert {one["worker"] for one in records} == {spec["worker"]}


def test_a_command_that_does_not_exist_says_so(zygote: Zygote) -> None:
    spec = command(zygote, "no-such-program")
    assert zygote.wire.next("exited", worker=spec["worker"])["status"] == 127 << 8
    assert _records(spec)[0]["message"] == "no-such-program: No such file or directory"


def test_a_command_ends_with_its_zygote_and_takes_its_children_along(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path)
    spec = command(zygote, "sh", "-c", "sleep 600 & echo $!; wait", environ={"PATH": "/usr/bin:/bin"})
    child = int(until_sync(lambda: _records(spec), what="the pid of a grandchild")[0]["message"])
    zygote.close()
    until_sync(lambda: not _runs(spec["pid"]) and not _runs(child), what="the end of both")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _records(spec: Message) -> list[Message]:
    file = Path(spec["output"]) / "current.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
