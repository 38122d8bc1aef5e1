"""Services that take what they can get: each meets its own limits, and `steady` beside it notices nothing."""

import contextlib
import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.processes import all_processes
from tests.end_to_end.samples import service
from tests.waiting import until_sync

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="[optional] services are isolated on Linux only")

HOG = """
import asyncio, subprocess, sys
KEPT = []

@router.post("/leak")
async def leak():
    while True:
        KEPT.append(b"x" * (4 << 20))
        await asyncio.sleep(0.01)

@router.post("/delegate")
async def delegate():
    code = "import time; kept = b'x' * (300 << 20); time.sleep(60)"
    KEPT.append(subprocess.Popen([sys.executable, "-c", code]))

@router.post("/absurd")
async def absurd():
    return len(bytearray(100 << 30))
"""
SMALL = "limits: {memory: 192MiB}\n"


@pytest.fixture
def beside(shared: Platform) -> Iterator[Platform]:
    """The shared platform, whose `steady` has neither failed nor been replaced when the test is over."""
    before = shared.worker("steady")
    yield shared
    assert shared.version("steady") == "1"
    assert shared.worker("steady") == before


def send(platform: Platform, path: str) -> int | None:
    """The status of the answer; nothing when the worker died over it."""
    with contextlib.suppress(Exception):
        return platform.services.post(path, timeout=20).status_code
    return None


def files_of(platform: Platform, name: str) -> list[Path]:
    """What it has said, in the files that hold it."""
    return list(platform.data.rglob(f"{name}/*.jsonl"))


def said_by(platform: Platform, name: str) -> list[str]:
    return [json.loads(line)["message"] for file in files_of(platform, name) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("way", ["leak", "delegate"])
def test_a_worker_over_its_memory_is_replaced_and_the_status_says_so(beside: Platform, way: str) -> None:
    name = f"hog-{way}"
    beside.deploy(service(name, also=HOG, manifest=SMALL))
    first = beside.worker(name)
    send(beside, f"/api/{name}/{way}")
    until_sync(lambda: beside.condition(name)["reason"] == "OutOfMemory", within=20, what="OutOfMemory")
    assert "its limit of 192 MiB and was replaced" in beside.condition(name)["message"]
    eventually(lambda: beside.version(name) == "1", what="another worker")
    assert beside.worker(name) != first
    assert "The worker had more memory than there was for it, and was killed." in said_by(beside, name)


def test_memory_that_cannot_be_had_is_an_error_of_one_request(beside: Platform) -> None:
    beside.deploy(service("absurd", also=HOG, manifest=SMALL))
    worker = beside.worker("absurd")
    assert send(beside, "/api/absurd/absurd") == 500
    assert (beside.version("absurd"), beside.worker("absurd")) == ("1", worker)


def test_a_release_that_fills_its_memory_at_import_never_serves(beside: Platform) -> None:
    manifest = SMALL + "timeout: {start: 20s}\n"
    also = "import time\nKEPT = [b'x' * (300 << 20)]\ntime.sleep(30)\n"
    beside.commit(service("glutton", also=also, manifest=manifest))
    beside.sync()
    told = until_sync(lambda: beside.condition("glutton"), what="its condition")
    assert told["reason"] == "OutOfMemory", told


def test_running_out_of_memory_again_and_again_is_held_back(beside: Platform) -> None:
    also = "import threading\nthreading.Timer(0.3, lambda: KEPT.append(b'x' * (300 << 20))).start()\nKEPT = []\n"
    beside.deploy(service("relapsing", also=also, manifest=SMALL))

    def is_held_back() -> bool:
        return "times within" in beside.condition("relapsing").get("message", "")

    until_sync(is_held_back, within=60, what="the hold")
    assert beside.condition("relapsing")["reason"] == "OutOfMemory"


def test_a_fork_bomb_goes_off_for_itself_alone(beside: Platform) -> None:
    bomb = """
import os, time

@router.post("/bomb")
async def bomb():
    for _ in range(400):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
"""
    beside.deploy(service("bomb", also=bomb, manifest="limits: {processes: 32}\n"))
    first = beside.worker("bomb")
    send(beside, "/api/bomb/bomb")
    eventually(lambda: beside.version("bomb") == "1" and beside.worker("bomb") != first, what="another worker")
    until_sync(lambda: not _in_group(first), what="the end of all that it started")


def _in_group(leader: int) -> list[int]:
    found = []
    for process in all_processes():
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == leader:
                found.append(process.pid)
    return found


def test_leaked_descriptors_are_missed_by_the_leaky_one_alone(beside: Platform) -> None:
    leak = """
KEPT = []

@router.post("/leak")
async def leak():
    while True:
        KEPT.append(open("/dev/null"))
"""
    beside.deploy(service("leaky", also=leak, manifest="limits: {files: 128}\n"))
    assert send(beside, "/api/leaky/leak") == 500
    assert len(list(Path(f"/proc/{beside.worker('leaky')}/fd").iterdir())) <= 128


def test_a_flood_of_lines_is_cut_off_and_counted(beside: Platform) -> None:
    flood = """
@router.post("/flood")
def flood():
    for number in range(200_000):
        print("line", number, "x" * 200)
"""
    beside.deploy(service("flood", also=flood))
    assert send(beside, "/api/flood/flood") == 200
    assert sum(file.stat().st_size for file in files_of(beside, "flood")) <= 17 << 20
    until_sync(lambda: any(message.endswith("lines dropped") for message in said_by(beside, "flood")), what="the count")


def test_the_baseline_is_in_force_in_every_worker(beside: Platform) -> None:
    pid = beside.worker("steady")
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    assert os.getsid(pid) == pid
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    # The owner of these files is root for a process that nobody may look into, whoever runs it.
    assert Path(f"/proc/{pid}/environ").stat().st_uid == 0
    environment = Path(f"/proc/{pid}/environ").read_bytes() if os.geteuid() == 0 else b""
    assert b"RECONCILER" not in environment
