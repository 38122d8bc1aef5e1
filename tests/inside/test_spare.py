"""A worker that waits for whose it is going to be: when there is one, what it costs, and that nobody ever needs it."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes import is_alive, name_of
from tests.inside.stage import Worker, Zygote, request
from tests.inside.test_limits import NOBODY
from tests.inside.test_stem import MEBIBYTE, SERVICE, parent_of, private
from tests.waiting import until_sync

SPIES = """
import subprocess
from fastapi import APIRouter

router = APIRouter()

@router.get("/child")
def child():
    return subprocess.Popen(["sleep", "60"]).pid

@router.get("/{pid}")
def look(pid: int):
    try:
        open(f"/proc/{pid}/mem", "r+b").close()
    except OSError as error:
        return error.strerror
    return "it is open"
"""
TELLS = """
import sys
from fastapi import APIRouter

KNOWN = [name for name in ("zipapp",) if name in sys.modules]
router = APIRouter()

@router.get("/")
def known(): return KNOWN
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="[optional] names of processes are read in /proc")


@pytest.fixture
def zygote(tmp_path: Path) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path)
    yield zygote
    zygote.close()


def spare_beside(worker: Worker) -> int:
    """Wait for the one there is."""

    def look() -> int | None:
        stem = parent_of(worker.pid)
        children = Path(f"/proc/{stem}/task/{stem}/children").read_text().split()
        spares = [int(pid) for pid in children if name_of(int(pid)) == "spare" and is_alive(int(pid))]
        return spares[0] if spares else None

    found = until_sync(look, what="a spare")
    assert found is not None
    return found


def serving(zygote: Zygote, code: str = SERVICE, name: str = "tasks", **fields: object) -> Worker:
    worker = zygote.fork(code, name, **fields)
    worker.ready()
    return worker


def test_the_next_worker_is_the_one_that_waited(zygote: Zygote) -> None:
    first = serving(zygote)
    for number in range(3):
        spare = spare_beside(first)
        worker = serving(zygote, name=f"further{number}", environ={"A": "b"})
        assert worker.pid == spare
        assert name_of(spare).endswith(f"-1.{number + 2}")
        assert worker.get("/3").json == {"number": 3.0}
        worker.retire()
        assert worker.exited() == 0


def test_one_that_waited_keeps_no_more_memory_than_another(zygote: Zygote) -> None:
    first = serving(zygote)
    workers = []
    for number in range(3):
        spare_beside(first)
        worker = serving(zygote, name=f"further{number}")
        client = worker.attach().client(request("GET", f"{worker.spec['prefix']}/7?factor=2"))
        assert client.answer().json == {"number": 14.0}
        workers.append(worker)
    assert max(private(worker.pid) for worker in workers[:-1]) < 9.2 * MEBIBYTE


def test_nobody_needs_it(zygote: Zygote) -> None:
    first = serving(zygote)
    spare = spare_beside(first)
    os.kill(spare, signal.SIGKILL)
    until_sync(lambda: not is_alive(spare), what="its end")
    worker = serving(zygote, name="further")
    assert worker.pid != spare
    assert worker.get("/3").json == {"number": 3.0}
    assert spare_beside(first) not in (spare, worker.pid)


def test_several_at_once_are_forked_as_if_there_were_none(zygote: Zygote) -> None:
    spare = spare_beside(serving(zygote))
    specs = [zygote.spec({"router.py": SERVICE}, f"many{number}") for number in range(5)]
    for spec in specs:
        zygote.wire.send({"op": "fork", "spec": spec})
    told = [zygote.wire.next("forked", worker=spec["worker"])["pid"] for spec in specs]
    assert told[0] == spare and len(set(told)) == 5
    for spec, pid in zip(specs, told, strict=True):
        worker = Worker(zygote, spec, pid)
        worker.ready()
        assert worker.get("/3").json == {"number": 3.0}


def test_one_that_has_not_learnt_what_the_others_know_is_not_used(zygote: Zygote) -> None:
    first = serving(zygote)
    spare = spare_beside(first)
    zygote.wire.send({"op": "preload", "modules": ["zipapp"]})
    until_sync(lambda: not is_alive(spare), what="the end of the one that has not learnt it")
    assert spare_beside(first) != spare
    assert serving(zygote, TELLS, "knows").get("/").json == ["zipapp"]


def test_it_goes_with_its_stem_and_a_worker_that_was_one_does_not(zygote: Zygote) -> None:
    first = serving(zygote)
    spare_beside(first)
    worker = serving(zygote, name="further")
    spare, stem = spare_beside(first), parent_of(first.pid)
    zygote.process.kill()
    until_sync(lambda: not is_alive(stem) and not is_alive(spare), what="the end of stem and spare")
    assert worker.get("/3").json == {"number": 3.0}
    for pid in (first.pid, worker.pid):
        os.kill(pid, signal.SIGKILL)


def test_when_the_platform_is_gone_so_is_the_spare(zygote: Zygote) -> None:
    first = serving(zygote)
    spare = spare_beside(first)
    zygote.lifeline.close()
    until_sync(lambda: not is_alive(spare) and not is_alive(first.pid), what="the end of both")
    until_sync(lambda: zygote.process.poll() is not None, what="the end of the fork server")


def test_neither_it_nor_what_it_is_a_copy_of_is_open_to_a_service(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It will know somebody's secrets; and whoever could write to the stem could be everybody."""
    zygote = Zygote(tmp_path_factory.mktemp("zygote"), user=NOBODY if os.geteuid() == 0 else None)
    try:
        spy = serving(zygote, SPIES)
        spare = spare_beside(spy)
        for pid in (spare, parent_of(spy.pid), zygote.process.pid):
            assert spy.get(f"/{pid}").json == "Permission denied"
        assert serving(zygote, name="victim").pid == spare
        assert spy.get(f"/{spare}").json == "Permission denied"
        assert spy.get(f"/{spy.get('/child').json}").json == "it is open", "which the spy can tell"
    finally:
        zygote.close()


def test_one_that_could_not_prepare_itself_is_a_worker_all_the_same(tmp_path: Path) -> None:
    zygote = Zygote(
        tmp_path, prelude="from reconciler.inside import spare, zygote; spare.make_one_route = lambda: 1 // 0"
    )
    try:
        first = serving(zygote)
        spare = spare_beside(first)
        worker = serving(zygote, name="further")
        assert worker.pid == spare
        assert worker.get("/3").json == {"number": 3.0}
    finally:
        zygote.close()


def test_it_does_not_wait_for_ever(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path, prelude="from reconciler.inside import stem, zygote; stem.KEPT = 3.0")
    try:
        first = serving(zygote)
        spare = spare_beside(first)
        until_sync(lambda: not is_alive(spare), what="its end")
        worker = serving(zygote, name="further")
        assert worker.pid != spare
    finally:
        zygote.close()
