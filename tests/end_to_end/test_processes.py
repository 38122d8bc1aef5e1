"""Further commands of a release, and what a service starts by itself: with the release, and gone with it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.platform import Platform, Told, eventually
from tests.end_to_end.processes import is_alive
from tests.end_to_end.samples import PLATFORM, service
from tests.inside.stage import paused
from tests.waiting import until_sync

SCRIPT = """
import os
import pathlib
import signal
import sys
import time

print("up", os.environ["RECONCILER_RELEASE"], os.environ["RECONCILER_PROCESS"], os.environ["GREETING"])


def leave(*_):
    print("leaving")
    sys.exit(0)


signal.signal(signal.SIGTERM, leave)
while not pathlib.Path(os.environ["BRAKE"]).exists():
    time.sleep(0.02)
sys.exit(3)
"""


def with_process(name: str, brake: Path, version: str = "1", command: str = "python worker.py") -> dict[str, str]:
    manifest = f"processes: {{worker: {command}}}\nenv: {{GREETING: hello, BRAKE: {brake}}}\nwatch_window: 0s\n"
    return {**service(name, version, manifest=manifest), f"services/{name}/worker.py": SCRIPT}


@pytest.fixture
def brake(tmp_path: Path) -> Iterator[Path]:
    """While it is there, the process ends again and again."""
    path = tmp_path / "brake"
    yield path
    path.unlink(missing_ok=True)


def process_of(platform: Platform, name: str) -> Told:
    (told,) = platform.service(name)["processes"]
    found: Told = told
    return found


def ready(platform: Platform, name: str) -> Told:
    def look() -> Told:
        told = process_of(platform, name)
        return told if told["state"] == "ready" else {}

    told: Told = eventually(look, what="a process that runs")
    return told


def said(platform: Platform, name: str) -> str:
    return platform.control.get(f"/v1/services/{name}/logs", params={"format": "text"}).text


def test_a_process_runs_beside_its_release_and_is_replaced_with_it(shared: Platform, brake: Path) -> None:
    shared.deploy(with_process("queue", brake))
    first = ready(shared, "queue")
    assert (first["command"], first["restarts"]) == ("python worker.py", 0)
    eventually(lambda: "up queue-1 worker hello" in said(shared, "queue"), what="its first words")
    shared.deploy(with_process("queue", brake, "2"))
    second = ready(shared, "queue")
    assert second["pid"] != first["pid"]
    until_sync(lambda: not is_alive(first["pid"]), what="the end of the old one")
    eventually(lambda: "leaving" in said(shared, "queue"), what="its last words")
    shared.deploy({"services/queue": None})
    until_sync(lambda: not is_alive(second["pid"]), what="the end with its service")


def test_a_process_that_ends_is_started_again_and_a_loop_is_told(shared: Platform, brake: Path) -> None:
    shared.deploy(with_process("loop", brake))
    first = ready(shared, "loop")
    os.kill(first["pid"], signal.SIGKILL)
    eventually(lambda: ready(shared, "loop")["pid"] != first["pid"], what="another one")
    assert process_of(shared, "loop")["restarts"] == 1
    brake.touch()
    stalled = eventually(lambda: shared.condition("loop", "Stalled"), within=20, what="a crash loop")
    assert stalled["reason"] == "CrashLoop"
    assert "process worker of loop-1 exited with status 3" in stalled["message"]
    # The service itself is as well as ever.
    assert shared.version("loop") == "1"


def test_a_command_that_is_not_there_fails_before_the_switch(shared: Platform, brake: Path) -> None:
    shared.deploy(with_process("typo", brake))
    assert shared.deploy(with_process("typo", brake, "2", "celeryy -A tasks"))["state"] == "failed"
    stalled = shared.condition("typo", "Stalled")
    assert (stalled["reason"], "there is no program celeryy" in stalled["message"]) == ("StartFailed", True)
    assert shared.version("typo") == "1"
    assert ready(shared, "typo")["pid"]


def test_a_restart_renews_the_processes_too(shared: Platform, brake: Path) -> None:
    shared.deploy(with_process("anew", brake))
    first = ready(shared, "anew")
    shared.control.post("/v1/services/anew/restart").raise_for_status()
    assert ready(shared, "anew")["pid"] != first["pid"]
    until_sync(lambda: not is_alive(first["pid"]), what="the end of the old one")


def test_a_process_is_not_started_twice_when_its_zygote_answers_late(shared: Platform, brake: Path) -> None:
    shared.deploy(with_process("late", brake))
    first = ready(shared, "late")
    with paused(shared.process("zygote").pid):
        shared.kill("control")
        eventually(shared.is_ready, what="a control that waits for no zygote")
    assert ready(shared, "late")["pid"] == first["pid"]


DEAF = "import signal\nimport time\n\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)\n"


def test_a_restart_that_control_did_not_live_to_finish_leaves_one_process(shared: Platform) -> None:
    manifest = "processes: {worker: python deaf.py}\ndrain: 2s\n"
    shared.deploy({**service("deaf", manifest=manifest), "services/deaf/deaf.py": DEAF})
    first = ready(shared, "deaf")
    shared.control.post("/v1/services/deaf/restart").raise_for_status()
    second = eventually(lambda: ready(shared, "deaf")["pid"] != first["pid"] and ready(shared, "deaf"), what="another")
    shared.kill("control")
    eventually(shared.is_ready, what="control")
    until_sync(lambda: not is_alive(first["pid"]), what="the end of the one that was to go")
    assert ready(shared, "deaf")["pid"] == second["pid"]


def test_processes_live_on_when_control_dies_and_end_with_the_platform(platform: Platform, brake: Path) -> None:
    platform.commit({"services.yaml": PLATFORM, **with_process("kept", brake)})
    platform.start()
    first = ready(platform, "kept")
    platform.kill("control")
    again = eventually(lambda: ready(platform, "kept"), within=20, what="a control that knows it")
    assert (again["pid"], again["restarts"]) == (first["pid"], 0)
    platform.kill("zygote")
    another = eventually(lambda: _another(platform, first["pid"]), within=20, what="one from the next zygote")
    assert not is_alive(first["pid"])
    assert platform.stop(signal.SIGKILL) == -signal.SIGKILL
    until_sync(lambda: not is_alive(another["pid"]), what="the end with the platform")


def _another(platform: Platform, pid: int) -> Told:
    told = process_of(platform, "kept")
    return told if told["state"] == "ready" and told["pid"] != pid else {}


# What a service starts by itself

CLOCK = """
import asyncio
import os
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks

ticks = []
clock = None


async def tick():
    while True:
        await asyncio.sleep(0.01)
        ticks.append("candidate" if "RECONCILER_CANDIDATE" in os.environ else "live")


@router.on_event("startup")
async def begin():
    global clock
    clock = asyncio.create_task(tick())


@router.on_event("shutdown")
async def end():
    clock.cancel()
    print("stopped after", len(ticks))


@router.get("/ticks")
async def look():
    return ticks


@router.post("/later")
async def later(tasks: BackgroundTasks, seconds: float = 0.3):
    async def work():
        await asyncio.sleep(seconds)
        print("done later")

    tasks.add_task(work)
"""
PATIENT = "watch_window: 0s\n"
SUITE = """
version: 1
cases:
  - name: it ticks while it is tested
    GET: /ticks
    expect: {json: {"$[0]": candidate}}
    retry: {attempts: 50, every: 20ms}
"""


def test_a_schedule_of_its_own_knows_whether_its_release_serves_and_ends_with_it(shared: Platform) -> None:
    first = {**service("clock", also=CLOCK, manifest=PATIENT), "services/clock/tests.yaml": SUITE}
    assert shared.deploy(first)["state"] == "done", shared.condition("clock")
    eventually(lambda: shared.services.get("/api/clock/ticks").json()[-1] == "live", what="a live tick")
    ticks = shared.services.get("/api/clock/ticks").json()
    assert ticks == sorted(ticks), "candidate first, then live, and never back"
    shared.deploy(service("clock", "2", also=CLOCK, manifest=PATIENT))
    eventually(lambda: "stopped after" in said(shared, "clock"), what="the end of the first one")


def test_background_tasks_end_within_the_drain_and_what_is_cut_is_counted(shared: Platform) -> None:
    shared.deploy(service("later", also=CLOCK, manifest=f"{PATIENT}drain: 1s\n"))
    shared.services.post("/api/later/later", params={"seconds": 0.5})
    shared.deploy(service("later", "2", also=CLOCK, manifest=f"{PATIENT}drain: 1s\n"))
    eventually(lambda: "done later" in said(shared, "later"), what="the end of the task")
    shared.services.post("/api/later/later", params={"seconds": 600})
    shared.deploy(service("later", "3", also=CLOCK, manifest=f"{PATIENT}drain: 1s\n"))
    eventually(lambda: "tasks=1" in shared.said(), what="what was cut, in the log")
