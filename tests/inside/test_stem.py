"""What workers are copies of: how little each adds to it, and what happens when it is gone."""

import ctypes
import mmap
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from reconciler.inside import kernel, layout
from tests.end_to_end.processes import is_alive
from tests.inside.stage import Zygote, request
from tests.waiting import until_sync

SERVICE = """
from fastapi import APIRouter

router = APIRouter()

@router.get("/{number}")
async def read(number: int, factor: float = 1.0):
    return {"number": number * factor}
"""
MEBIBYTE = 1 << 20

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="[optional] /proc is Linux's")


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Zygote]:
    """One that a test may harm."""
    zygote = Zygote(tmp_path)
    yield zygote
    zygote.close()


@on_linux
def test_a_worker_that_has_answered_keeps_little_memory_for_itself(lonely: Zygote) -> None:
    """The figure is made by `python -m bench memory`; this notices when the stem or the trial does nothing any more."""
    workers = [lonely.fork(SERVICE, f"service{number}") for number in range(4)]
    for worker in workers:
        worker.ready()
        client = worker.attach().client(request("GET", f"{worker.spec['prefix']}/7?factor=2"))
        assert client.answer().json == {"number": 14.0}
    # Not the first and the last: they do not share with a neighbour on each side.
    assert max(private(worker.pid) for worker in workers[1:-1]) < 9.2 * MEBIBYTE


def private(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


@on_linux
def test_workers_outlive_their_stem_and_their_zygote_does_not(lonely: Zygote) -> None:
    worker = lonely.fork(SERVICE)
    worker.ready()
    os.kill(parent_of(worker.pid), signal.SIGKILL)
    assert lonely.process.wait(30) == 1
    assert "the stem of this environment has ended" in lonely.log.read_text()
    assert worker.get("/3").json == {"number": 3.0}
    os.kill(worker.pid, signal.SIGKILL)


@on_linux
def test_a_stem_goes_with_its_zygote(lonely: Zygote) -> None:
    worker = lonely.fork(SERVICE)
    worker.ready()
    stem = parent_of(worker.pid)
    lonely.process.kill()
    until_sync(lambda: not is_alive(stem), what="the end of the stem")
    assert worker.get("/3").json == {"number": 3.0}
    os.kill(worker.pid, signal.SIGKILL)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_worker_may_be_told_a_great_deal(zygote: Zygote) -> None:
    """More than a socket takes at once."""
    worker = zygote.fork(
        "import os\nfrom fastapi import APIRouter\nrouter = APIRouter()\n"
        "@router.get('/')\ndef length(): return len(os.environ['LONG'])\n",
        secrets={"LONG": "x" * 100_000, "OTHER": "y" * 1_000_000},
    )
    worker.ready()
    assert worker.get("/").json == 100_000


def test_many_workers_may_be_asked_for_at_once(zygote: Zygote) -> None:
    specs = [zygote.spec({"router.py": "raise SystemExit(1)"}, f"many{number}") for number in range(80)]
    for spec in specs:
        zygote.wire.send({"op": "fork", "spec": spec})
    assert {zygote.wire.next("forked")["worker"] for _ in specs} == {spec["worker"] for spec in specs}


def test_code_that_is_called_moves_and_does_what_it_did() -> None:
    # Made here: the collector, which knows all functions, no longer knows those that were there when tests began.
    def outer(word: str) -> str:
        def inner() -> str:
            return word * 2

        return inner()

    def never() -> None:
        raise AssertionError

    inner = next(one for one in outer.__code__.co_consts if isinstance(one, CodeType))
    function = FunctionType(outer.__code__, globals(), "twice")
    was, stays = outer.__code__, never.__code__
    layout.gather({id(was), id(inner)})
    assert outer.__code__ is not was
    assert function.__code__ is outer.__code__
    assert outer.__code__ == was
    assert inner not in [one for one in outer.__code__.co_consts if one is inner]
    assert never.__code__ is stays
    assert outer("a") == "aa"


@on_linux
def test_only_pages_of_zeros_are_given_back() -> None:
    size = 64 * MEBIBYTE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(bytes(size))
        memory[300_000] = 7
        before = resident()
        kernel.give_back_zeros(ctypes.addressof(ctypes.c_char.from_buffer(memory)), size)
        assert before - resident() > size // 2
        assert memory[300_000] == 7
        assert not any(memory[299_000:300_000]) and not any(memory[300_001:301_000])


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
