"""One service's trouble is its own: its last good release serves, and nobody else feels anything."""

import contextlib
import os
import signal

import pytest

from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import router, service

BROKEN = {
    "a module that is not there": ("import does_not_exist\n", {"ImportFailed"}),
    "an exception at import": ("raise RuntimeError('not today')\n", {"ImportFailed"}),
    "sys.exit at import": ("import sys\n\nsys.exit(0)\n", {"ImportFailed", "StartFailed"}),
    "os._exit at import": ("import os\n\nos._exit(0)\n", {"ImportFailed", "StartFailed"}),
    "a segmentation fault at import": ("import ctypes\n\nctypes.string_at(0)\n", {"ImportFailed", "StartFailed"}),
    "no router": ("from fastapi import APIRouter\n\nrooter = APIRouter()\n", {"ImportFailed"}),
    "a router that is none": ("router = 42\n", {"ImportFailed", "StartFailed"}),
    "an exception in its startup": (
        """
        from contextlib import asynccontextmanager
        from fastapi import APIRouter

        @asynccontextmanager
        async def lifespan(app):
            raise RuntimeError("the database is down")
            yield

        router = APIRouter(lifespan=lifespan)
        """,
        {"StartFailed"},
    ),
}


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.replace(" ", "_"))
def test_a_release_that_cannot_start_never_takes_traffic(shared: Platform, fault: str) -> None:
    source, reasons = BROKEN[fault]
    name = f"broken-{list(BROKEN).index(fault)}"
    shared.deploy(service(name))
    shared.deploy(router(name, source))
    assert shared.version(name) == "1"
    assert shared.condition(name)["status"] == "False"
    assert shared.condition(name, "Stalled")["reason"] in reasons
    assert str(shared.data / "releases") not in (shared.service(name)["detail"] or ""), "files as they are in git"
    shared.deploy(service(name, "2"))
    assert shared.version(name) == "2"
    assert not shared.condition(name, "Stalled")


def test_a_service_that_never_had_a_good_release_answers_503(shared: Platform) -> None:
    shared.deploy(router("never", "import does_not_exist\n"))
    answer = shared.services.get("/api/never/version")
    assert answer.status_code == 503
    assert answer.json()["error"]["service"] == "never"
    assert int(answer.headers["retry-after"]) >= 1
    assert shared.version("steady") == "1"


@pytest.mark.parametrize(("manifest", "code"), [("requirments: [six]\n", "failed"), ("suspend: true\n", "suspended")])
def test_what_is_held_before_it_ever_served_is_not_said_to_be_starting(
    shared: Platform, manifest: str, code: str
) -> None:
    name = f"unborn-{code}"
    shared.deploy(service(name, manifest=manifest))

    def told() -> object:
        return shared.services.get(f"/api/{name}/version").json()["error"]["code"]

    eventually(lambda: told() == code, what=f"503 {code}")
    shared.deploy(service(name))
    assert shared.version(name) == "1"


def test_a_failed_digest_is_not_tried_again(shared: Platform) -> None:
    shared.deploy(router("stubborn", "import does_not_exist\n"))
    tried = len(shared.service("stubborn")["events"])
    shared.sync()
    shared.deploy(service("bystander"))
    assert len(shared.service("stubborn")["events"]) == tried


HANGS = {"sleeps": "import time\n\ntime.sleep(3600)\n", "spins": "while True:\n    pass\n"}


@pytest.mark.parametrize("how", HANGS)
def test_a_start_that_hangs_is_ended_at_its_deadline(shared: Platform, how: str) -> None:
    files = {**router("hangs", HANGS[how]), "services/hangs/service.yaml": "version: 1\ntimeout: {start: 1s}\n"}
    shared.deploy(files)
    assert shared.condition("hangs", "Stalled")["reason"] == "StartTimedOut"
    eventually(lambda: not any(process.state == "R" for process in shared.family()), what="nobody spins any more")


def test_a_request_that_takes_too_long_is_told_so_and_its_service_lives(shared: Platform) -> None:
    shared.deploy(service("slow", manifest="timeout: {request: 1s}\n"))
    shared.deploy(service("bystander"))
    answer = shared.services.get("/api/slow/slow", params={"seconds": 3600})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    with shared.services.stream("GET", "/api/slow/events", params={"count": 8, "every": 0.2}) as events:
        assert len([line for line in events.iter_lines() if line.startswith("data:")]) == 8
    assert shared.version("slow") == "1"


CRASH = """

@router.get("/crash")
async def crash(how: str = "exit"):
    import ctypes, signal
    if how == "exit":
        os._exit(1)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    ctypes.string_at(0)
"""


@pytest.mark.parametrize("how", ["exit", "kill", "segfault"])
def test_a_worker_that_dies_is_replaced(shared: Platform, how: str) -> None:
    name = f"mortal-{how}"
    shared.deploy(service(name, also=CRASH))
    first = shared.worker(name)
    with pytest.raises(Exception, match=r"disconnected|reset"):
        shared.services.get(f"/api/{name}/crash", params={"how": how})
    eventually(lambda: shared.version(name) == "1", what="another worker")
    assert shared.worker(name) != first
    assert any(name in line for line in shared.said().splitlines() if "a worker is lost" in line)
    assert shared.version("steady") == "1"


def test_a_crash_loop_is_held_back_and_named(shared: Platform) -> None:
    shared.deploy(service("looping"))

    def kill_it() -> bool:
        for worker in shared.service("looping")["workers"]:
            if worker["pid"] and worker["state"] == "ready":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker["pid"], signal.SIGKILL)
        return shared.condition("looping").get("reason") == "CrashLoop"

    eventually(kill_it, within=30, what="CrashLoop")
    assert shared.version("steady") == "1"
    shared.deploy(service("looping", "2"))
    eventually(lambda: shared.version("looping") == "2", what="a new digest, which is tried at once")


@pytest.mark.parametrize(
    "requirements",
    ["[there-is-no-such-package-7f3a]", "[six==99.9]", "['fastapi==0.115.0', 'starlette==1.0.0']"],
    ids=["unknown", "no such version", "conflict"],
)
def test_requirements_that_cannot_be_met_are_explained(shared: Platform, requirements: str) -> None:
    shared.deploy(service("needy"))
    shared.deploy(service("needy", "2", manifest=f"requirements: {requirements}\n"))
    assert shared.version("needy") == "1"
    stalled = shared.condition("needy", "Stalled")
    assert stalled["reason"] == "RequirementsFailed"
    explained = f"{stalled['message']} {shared.service('needy')['detail']}"
    assert any(name in explained for name in ("there-is-no-such", "six", "starlette")), explained


def test_a_manifest_with_a_mistake_points_at_it(shared: Platform) -> None:
    shared.deploy(service("mistaken"))
    shared.deploy(service("mistaken", "2", manifest="requirments: [six]\n"))
    assert shared.version("mistaken") == "1"
    told = shared.service("mistaken")
    (problem,) = told["problems"]
    assert (problem["file"], problem["line"]) == ("services/mistaken/service.yaml", 2)
    assert shared.condition("mistaken")["reason"] == "ManifestInvalid"
