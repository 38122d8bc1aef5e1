"""kill -9, to one process after another, under load and in the middle of things."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import httpx

from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.processes import is_alive
from tests.end_to_end.samples import service
from tests.end_to_end.traffic import Traffic
from tests.waiting import until_sync

CLIENTS = 8
BOTH = ["/api/tasks", "/api/other"]


PLATFORM = "version: 1\ndefaults: {drain: 5s, watch_window: 1s}\n"


def running(platform: Platform) -> Platform:
    platform.commit({"services.yaml": PLATFORM, **service("tasks"), **service("other")})
    return platform.start()


def control_is_back(platform: Platform) -> None:
    eventually(lambda: platform.control.get("/readyz").status_code == 200, within=20, what="control")


def test_killing_control_is_noticed_by_nobody(platform: Platform) -> None:
    running(platform)
    before = essence(platform, "tasks"), essence(platform, "other")
    # Answered after all that was noted before it.
    platform.control.get("/v1/syncs", params={"limit": 1}).raise_for_status()
    with Traffic(platform.port, BOTH, clients=CLIENTS) as traffic:
        traffic.settle()
        platform.kill("control")
        traffic.settle()
        control_is_back(platform)
    assert (traffic.tally.lost, traffic.tally.closed) == (0, 0), traffic.tally
    assert (essence(platform, "tasks"), essence(platform, "other")) == before, "it takes over what runs"


def essence(platform: Platform, name: str) -> tuple[object, ...]:
    """What must be told the same before and after, to the moment: what serves, who, and what is said about it."""
    told = platform.service(name)
    live = [told["live"][fact] for fact in ("id", "revision", "environment", "created_at", "live_at")]
    return live, told["revision_changed"], told["workers"], told["conditions"]


def test_what_was_said_of_services_in_trouble_is_said_by_the_next_control(platform: Platform) -> None:
    bad = "\n\n@router.get('/bad')\nasync def bad():\n    return {}[None]\n"
    watched = "watch_window: 30s\n"
    platform.commit({"services.yaml": PLATFORM, **service("other", manifest=watched), **service("tasks")})
    platform.start()
    platform.deploy(
        {**service("other", "2", also=bad, manifest=watched), "services/tasks/router.py": "import nothing\n"}
    )
    for _ in range(8):
        platform.services.get("/api/other/bad")
    eventually(lambda: platform.condition("other", "RolledBack"), what="a way back")
    before = essence(platform, "tasks"), essence(platform, "other")
    # Answered after all that was noted before it.
    platform.control.get("/v1/syncs", params={"limit": 1}).raise_for_status()
    platform.kill("control")
    control_is_back(platform)
    assert (essence(platform, "tasks"), essence(platform, "other")) == before


def test_killing_the_gateway_loses_no_connection_that_a_worker_holds(platform: Platform) -> None:
    running(platform)
    with (
        Traffic(platform.port, BOTH[:1], clients=CLIENTS, idle=50) as tasks,
        Traffic(platform.port, BOTH[1:], clients=CLIENTS) as other,
    ):
        tasks.settle()
        platform.kill("gateway")
        assert platform.version("tasks") == "1", "a new connection waits for the next gateway"
        tasks.wake("/api/other/echo")
        tasks.settle()
        other.settle()
    for tally in (tasks.tally, other.tally):
        assert (tally.lost, tally.closed) == (0, 0), tally


def test_killing_a_worker_loses_only_what_it_was_answering(platform: Platform) -> None:
    running(platform)
    tasks, other = platform.worker("tasks"), platform.worker("other")
    with Traffic(platform.port, BOTH, clients=CLIENTS) as traffic:
        traffic.settle()
        os.kill(tasks, signal.SIGKILL)
        traffic.settle(400)
    assert traffic.tally.lost <= CLIENTS, traffic.tally
    assert set(traffic.tally.answered) == {200}, "whoever comes meanwhile waits for the next worker"
    eventually(lambda: platform.worker("tasks") != tasks, what="another worker")
    assert platform.worker("other") == other


def test_a_release_goes_on_after_control_and_gateway_were_killed(platform: Platform) -> None:
    running(platform)
    for number, role in enumerate(["control", "gateway", "control"], start=2):
        platform.kill(role)
        control_is_back(platform)
        platform.deploy(service("tasks", str(number)))
        assert platform.version("tasks") == str(number)
    assert platform.version("other") == "1"


def test_control_killed_at_any_moment_of_a_sync_leaves_no_manual_step(platform: Platform) -> None:
    running(platform)
    with Traffic(platform.port, BOTH, clients=4) as traffic:
        for version, moment in enumerate((0.005, 0.02, 0.04, 0.07, 0.12), start=2):
            platform.commit(service("tasks", str(version)))
            victim = platform.process("control")
            timer = threading.Timer(moment, victim.kill)
            timer.start()
            ask_and_do_not_care(platform)
            timer.join()
            until_sync(lambda pid=victim.pid: not is_alive(pid), what="the end of control")  # type: ignore[misc]
            eventually(lambda v=str(version): platform.version("tasks") == v, within=20, what=f"version {version}")
        traffic.settle()
    assert (traffic.tally.lost, traffic.tally.closed) == (0, 0), traffic.tally
    eventually(lambda: platform.condition("tasks")["status"] == "True", what="Ready")
    eventually(lambda: len(platform.forked()) == 2, what="one worker per service")


def ask_and_do_not_care(platform: Platform) -> None:
    with contextlib.suppress(httpx.TransportError):
        platform.control.post("/v1/sync", timeout=2)


def test_when_the_supervisor_is_killed_nothing_is_orphaned_and_the_next_one_serves_the_same(platform: Platform) -> None:
    running(platform)
    platform.deploy(service("tasks", "2"))
    family = platform.family()
    assert len(family) >= 5, family
    platform.stop(signal.SIGKILL)
    until_sync(lambda: not any(is_alive(process.pid) for process in family), what="the end of all")
    platform.start()
    assert (platform.version("tasks"), platform.version("other")) == ("2", "1")


def test_a_service_that_hangs_when_the_machine_comes_back_holds_up_nobody(platform: Platform, tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    source = f"import os, time\nwhile os.path.exists({str(hang)!r}):\n    time.sleep(0.05)\n"
    hangs = service("hangs", manifest="timeout: {start: 30s}\n")
    hangs = {**hangs, "services/hangs/router.py": source + hangs["services/hangs/router.py"]}
    platform.commit({**hangs, "services.yaml": PLATFORM, **service("tasks")})
    platform.start()
    hang.touch()
    platform.stop(signal.SIGKILL)
    platform.start(ready_within=25)
    assert platform.version("tasks") == "1"
    states = eventually(
        lambda: [worker["state"] for worker in platform.service("hangs")["workers"]], what="the start of the other"
    )
    assert states == ["starting"]
    hang.unlink()
    eventually(lambda: platform.version("hangs") == "1", what="the other one")


def test_what_a_lost_machine_was_building_is_never_taken_for_finished(platform: Platform) -> None:
    """The whole family is killed in the middle of an installation."""
    running(platform)
    platform.commit(service("tasks", "2", manifest="requirements: [six==1.15.0]\n"))
    platform.control.post("/v1/sync")
    eventually(lambda: "Syncing" in kinds(platform) or platform.version("tasks") == "2", what="an attempt under way")
    platform.stop(signal.SIGKILL)
    platform.start()
    eventually(lambda: platform.version("tasks") == "2", within=60, what="the attempt, begun again")


def kinds(platform: Platform) -> set[str]:
    return {condition["type"] for condition in platform.service("tasks")["conditions"]}


BUSY = """

@router.get("/busy")
async def busy(seconds: float):
    import time
    time.sleep(seconds)
    return {"version": VERSION}
"""


def test_a_worker_too_busy_to_say_hello_to_the_next_control_is_still_the_worker(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM, **service("tasks", also=BUSY)})
    platform.start()
    worker = platform.worker("tasks")
    asking = threading.Thread(target=platform.services.get, args=("/api/tasks/busy?seconds=9",))
    asking.start()
    platform.kill("control")
    control_is_back(platform)
    assert platform.worker("tasks") == worker
    asking.join()
    eventually(lambda: len(platform.forked()) == 1, what="one worker and no more")
    assert platform.worker("tasks") == worker


def test_a_release_whose_environment_is_gone_is_made_anew(platform: Platform) -> None:
    """One environment that is missing costs one service a moment, and control nothing."""
    running(platform)
    platform.stop()
    for environment in (platform.data / "environments").iterdir():
        for link in environment.glob("bin/python*"):
            link.unlink()
    platform.start()
    eventually(lambda: (platform.version("tasks"), platform.version("other")) == ("1", "1"), within=60, what="both")


def test_sigterm_without_a_gateway_ends_in_seconds(platform: Platform) -> None:
    running(platform)
    platform.process("gateway").kill()
    assert platform.stop() == 0
