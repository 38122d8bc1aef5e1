"""Jobs of real services, run by a real platform: by request, by call, and through what may come between."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.end_to_end.platform import Platform, Told, command, eventually
from tests.end_to_end.samples import PLATFORM, service
from tests.waiting import until_sync

JOBS = """
import asyncio
import os
import time

calls = []


def tidy(days=7):
    print(f"tidied {days}")
    calls.append(days)


async def mail():
    await asyncio.sleep(0)
    raise RuntimeError("no such box")


def slow(seconds=0.5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    print("slept")


def dies():
    os._exit(9)
"""
ALSO = """

import jobs
from fastapi import Response

asked = []


@router.post("/jobs/nightly")
async def nightly(request: Request):
    print("nightly " + request.headers["x-reconciler-scheduled"])
    asked.append(request.headers["x-request-id"])
    return {"ok": True}


@router.post("/jobs/fails")
async def fails():
    return Response("it is broken", 500)


@router.post("/jobs/hangs")
async def hangs(seconds: float = 60.0):
    await asyncio.sleep(seconds)


@router.get("/jobs/large")
async def large():
    def parts():
        for _ in range(1024):
            yield b"x" * (1 << 20)

    return StreamingResponse(parts())


@router.get("/seen")
async def seen():
    return {"asked": asked, "calls": jobs.calls}
"""
CRON = """
cron:
  - {name: nightly, schedule: "0 2 * * *", timezone: Europe/Madrid, request: POST /jobs/nightly}
  - {name: tidy, schedule: "@hourly", call: "jobs:tidy", arguments: {days: 3}}
  - {name: mail, schedule: "@hourly", call: "jobs:mail"}
  - {name: fails, schedule: "@yearly", request: POST /jobs/fails}
  - {name: hangs, schedule: "@yearly", request: POST /jobs/hangs, timeout: 3s}
  - {name: large, schedule: "@yearly", request: GET /jobs/large, timeout: 20s}
  - {name: moved, schedule: "@yearly", request: POST /jobs/nightly/}
  - {name: slow, schedule: "@yearly", call: "jobs:slow", arguments: {seconds: 3}, overlap: queue}
  - {name: long, schedule: "@yearly", call: "jobs:slow", arguments: {seconds: 60}}
  - {name: waits, schedule: "@yearly", request: POST /jobs/hangs}
  - {name: dies, schedule: "@yearly", call: "jobs:dies"}
"""


def with_jobs(name: str, version: str = "1", manifest: str = CRON) -> dict[str, str]:
    return {**service(name, version, also=ALSO, manifest=manifest), f"services/{name}/jobs.py": JOBS}


@pytest.fixture(scope="module")
def jobs(shared: Platform) -> Iterator[Platform]:
    shared.deploy(with_jobs("jobs"))
    yield shared


def begin(platform: Platform, name: str, job: str) -> Told:
    answer = platform.control.post(f"/v1/services/{name}/cron/{job}/run")
    assert answer.status_code == 202, answer.text
    told: Told = answer.json()
    return told


def run_of(platform: Platform, name: str, run: str) -> Told:
    told: Told = platform.control.get(f"/v1/services/{name}/runs/{run}").raise_for_status().json()
    return told


def end_of(platform: Platform, name: str, run: str, *, within: float = 15) -> Told:
    def look() -> Told:
        told = run_of(platform, name, run)
        return told if told["state"] not in ("queued", "intended", "running") else {}

    told: Told = eventually(look, within=within, what=f"the end of {run}")
    return told


def run(platform: Platform, name: str, job: str) -> Told:
    return end_of(platform, name, begin(platform, name, job)["id"])


def job_of(platform: Platform, name: str, job: str) -> Told:
    found: Told = next(each for each in platform.service(name)["cron"] if each["name"] == job)
    return found


def runs_of(platform: Platform, name: str, job: str) -> list[Told]:
    items: list[Told] = platform.control.get(f"/v1/services/{name}/runs", params={"job": job}).json()["items"]
    return items


def failures(platform: Platform, name: str) -> list[str]:
    return [event["message"] for event in platform.service(name)["events"] if event["kind"] == "RunFailed"]


def logged(platform: Platform, name: str, request: str) -> list[str]:
    answer = platform.control.get(f"/v1/services/{name}/logs", params={"request": request, "format": "text"})
    return answer.text.splitlines()


def test_a_request_reaches_the_live_release_under_the_id_of_its_run(jobs: Platform) -> None:
    told = run(jobs, "jobs", "nightly")
    assert (told["state"], told["message"], told["release"]) == ("done", "answered 200", "jobs-1")
    assert (told["cause"], told["actor"]) == ("person", "admin")
    assert told["id"] in jobs.services.get("/api/jobs/seen").json()["asked"]
    assert any("nightly 20" in line for line in logged(jobs, "jobs", told["id"]))


def test_a_function_is_called_with_the_arguments_of_the_manifest(jobs: Platform) -> None:
    told = run(jobs, "jobs", "tidy")
    assert (told["state"], told["message"]) == ("done", "returned")
    assert jobs.services.get("/api/jobs/seen").json()["calls"] == [3]
    assert any("tidied 3" in line for line in logged(jobs, "jobs", told["id"]))


@pytest.mark.parametrize(
    ("job", "state", "message", "detail"),
    [
        ("fails", "failed", "answered 500", "it is broken"),
        ("mail", "failed", "RuntimeError: no such box (jobs.py:15)", "Traceback"),
        ("hangs", "timed-out", "it took longer than 3 s", ""),
        ("large", "done", "answered 200, and more than 8 MiB, which were not read", ""),
        ("moved", "failed", "answered 307, a redirect to ", ""),
        ("dies", "failed", "its worker exited with status 9", ""),
    ],
)
def test_whatever_a_job_does_is_told_in_one_sentence(
    jobs: Platform, job: str, state: str, message: str, detail: str
) -> None:
    told = run(jobs, "jobs", job)
    assert told["state"] == state, told
    assert told["message"].startswith(message), told
    assert detail in (told["detail"] or "")
    assert job_of(jobs, "jobs", job)["outcomes"][-1] == state
    if state != "done":
        eventually(lambda: f"{job} {state}: {told['message']}" in failures(jobs, "jobs"), what="an event")
    eventually(lambda: jobs.version("jobs") == "1", what="a service that is well")


def test_the_status_says_what_each_job_does_and_when_it_is_next(jobs: Platform) -> None:
    nightly = job_of(jobs, "jobs", "nightly")
    assert (nightly["schedule"], nightly["timezone"]) == ("0 2 * * *", "Europe/Madrid")
    assert nightly["does"] == "POST /jobs/nightly"
    assert timedelta() < datetime.fromisoformat(nightly["next"]) - datetime.now(UTC) <= timedelta(hours=25)
    assert job_of(jobs, "jobs", "tidy")["does"] == "call jobs:tidy"


def test_a_run_that_waits_begins_when_the_one_before_has_ended(jobs: Platform) -> None:
    first, second = begin(jobs, "jobs", "slow"), begin(jobs, "jobs", "slow")
    assert (first["state"], second["state"]) == ("intended", "queued")
    third = jobs.control.post("/v1/services/jobs/cron/slow/run")
    assert (third.status_code, first["id"] in third.json()["detail"]) == (409, True)
    ends = [end_of(jobs, "jobs", each["id"]) for each in (first, second)]
    assert [end["state"] for end in ends] == ["done", "done"]
    assert ends[0]["finished_at"] <= ends[1]["started_at"]


def test_a_job_that_skips_cannot_be_begun_twice_by_hand(jobs: Platform) -> None:
    first = begin(jobs, "jobs", "hangs")
    again = jobs.control.post("/v1/services/jobs/cron/hangs/run")
    assert (again.status_code, again.json()["detail"]) == (409, f"hangs of jobs is running: {first['id']}")
    end_of(jobs, "jobs", first["id"])


@pytest.mark.parametrize("path", ["nobody/cron/tidy", "jobs/cron/nothing"])
def test_what_is_not_there_cannot_be_run(jobs: Platform, path: str) -> None:
    assert jobs.control.post(f"/v1/services/{path}/run").status_code == 404


def test_a_release_whose_function_is_missing_never_serves(shared: Platform) -> None:
    shared.deploy(with_jobs("typo"))
    wrong = CRON.replace("jobs:tidy", "jobs:tidyy")
    assert shared.deploy(with_jobs("typo", "2", wrong))["state"] == "failed"
    stalled = shared.condition("typo", "Stalled")
    assert stalled["reason"] == "ImportFailed"
    assert stalled["message"].startswith("jobs.py has no attribute tidyy.")
    assert shared.version("typo") == "1"
    # The last good release serves, and its jobs go on.
    assert run(shared, "typo", "tidy")["state"] == "done"


def test_a_suspended_service_goes_on_with_its_jobs(shared: Platform) -> None:
    shared.deploy(with_jobs("quiet"))
    shared.control.post("/v1/services/quiet/suspend").raise_for_status()
    assert run(shared, "quiet", "tidy")["state"] == "done"


def test_a_stalled_service_goes_on_with_the_jobs_of_what_serves(shared: Platform) -> None:
    shared.deploy(with_jobs("stalled"))
    shared.deploy({**with_jobs("stalled", "2"), "services/stalled/jobs.py": "raise ValueError('broken')\n"})
    assert any(each["type"] == "Stalled" for each in shared.service("stalled")["conditions"])
    assert run(shared, "stalled", "tidy")["release"] == "stalled-1"


def test_jobs_follow_git_and_a_service_that_is_gone_keeps_its_history(shared: Platform) -> None:
    shared.deploy(with_jobs("brief"))
    told = run(shared, "brief", "tidy")
    shared.deploy(with_jobs("brief", "2", 'cron: [{name: other, schedule: "@daily", call: "jobs:tidy"}]'))
    assert [job["name"] for job in shared.service("brief")["cron"]] == ["other"]
    assert [each["id"] for each in runs_of(shared, "brief", "tidy")] == [told["id"]]
    assert shared.control.post("/v1/services/brief/cron/tidy/run").status_code == 404
    shared.deploy({"services/brief": None})
    eventually(lambda: shared.version("brief") == 404, what="the removal")
    assert shared.control.post("/v1/services/brief/cron/other/run").status_code == 404
    assert [each["state"] for each in runs_of(shared, "brief", "tidy")] == ["done"]


@pytest.mark.parametrize("job", ["long", "waits"])
def test_a_switch_waits_for_no_run_and_the_old_release_is_cut_at_its_drain(shared: Platform, job: str) -> None:
    manifest = f"drain: 1s\n{CRON}"
    shared.deploy(with_jobs(f"cut-{job}", manifest=manifest))
    under_way = begin(shared, f"cut-{job}", job)
    eventually(lambda: run_of(shared, f"cut-{job}", under_way["id"])["state"] == "running", what="its start")
    shared.deploy(with_jobs(f"cut-{job}", "2", manifest))
    assert shared.version(f"cut-{job}") == "2"
    told = end_of(shared, f"cut-{job}", under_way["id"])
    assert (told["state"], told["release"]) == ("interrupted", f"cut-{job}-1")
    assert run(shared, f"cut-{job}", "tidy")["release"] == f"cut-{job}-2"


def test_a_run_that_ends_within_the_drain_is_done_by_the_release_that_began_it(shared: Platform) -> None:
    shared.deploy(with_jobs("calm"))
    under_way = begin(shared, "calm", "slow")
    shared.deploy(with_jobs("calm", "2"))
    told = end_of(shared, "calm", under_way["id"])
    assert (told["state"], told["release"]) == ("done", "calm-1")


# A scheduler of the service's own


WATCHFUL = """

@router.on_event("startup")
async def watch():
    async def look():
        seen = None
        while True:
            stands = "waits" if "RECONCILER_CANDIDATE" in os.environ else "works"
            if stands != seen:
                print(VERSION, stands)
                seen = stands
            await asyncio.sleep(0.01)

    asyncio.create_task(look())
"""


def test_a_service_learns_when_its_release_is_parked_and_when_it_returns(shared: Platform) -> None:
    def said(version: str) -> list[str]:
        lines = shared.control.get("/v1/services/watchful/logs", params={"format": "text"}).text.splitlines()
        return [line.rsplit(" ", 1)[1] for line in lines if f" {version} wa" in line or f" {version} wo" in line]

    shared.deploy(service("watchful", also=WATCHFUL))
    eventually(lambda: said("1") == ["waits", "works"], what="the switch")
    shared.deploy(service("watchful", "2", also=WATCHFUL))
    eventually(lambda: (said("1"), said("2")) == (["waits", "works", "waits"], ["waits", "works"]), what="its parking")
    shared.control.post("/v1/services/watchful/rollback").raise_for_status()
    eventually(lambda: said("1") == ["waits", "works", "waits", "works"], what="its return")
    assert shared.version("watchful") == "1"


# From the terminal


def test_the_terminal_lists_jobs_and_runs_one(jobs: Platform) -> None:
    done = command("cron", "run", "jobs", "tidy", data=jobs.data)
    assert (done.returncode, "done: returned" in done.stdout) == (0, True), done
    failed = command("cron", "run", "jobs", "fails", data=jobs.data)
    assert failed.returncode == 1
    assert "failed: answered 500" in failed.stdout and "it is broken" in failed.stdout
    listed = command("cron", "list", "jobs", data=jobs.data)
    row = next(line for line in listed.stdout.splitlines() if " tidy " in line)
    assert "@hourly UTC" in row and "next in" in row and "done" in row
    assert command("cron", "run", "jobs", "nothing", data=jobs.data).returncode == 2


# Control that ends


def test_a_run_whose_control_was_killed_is_unknown_and_never_done_again(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM, **with_jobs("kept")})
    platform.start()
    lost, kept = begin(platform, "kept", "waits"), begin(platform, "kept", "long")
    for each in (lost, kept):
        eventually(lambda: run_of(platform, "kept", each["id"])["state"] == "running", what="its start")  # noqa: B023
    platform.kill("control")
    told = end_of(platform, "kept", lost["id"], within=20)
    assert (told["state"], told["message"]) == (
        "unknown",
        "the control plane ended while it was under way; whether it was done is not known",
    )
    assert [each["id"] for each in runs_of(platform, "kept", "waits")] == [lost["id"]]
    # The run is told by its own row; the event of it is written right after.
    eventually(
        lambda: any(event["kind"] == "RunUnknown" for event in platform.service("kept")["events"]), what="its event"
    )
    # A worker that called for it is asked: it is still at it, and no other may begin.
    eventually(lambda: job_of(platform, "kept", "long")["running"], what="a run that is taken over")
    assert run_of(platform, "kept", kept["id"])["state"] == "running"
    assert platform.control.post("/v1/services/kept/cron/long/run").status_code == 409


def test_three_hours_down_are_one_run_and_the_rest_is_told(platform: Platform) -> None:
    every_minute = 'cron: [{name: each, schedule: "* * * * *", request: POST /jobs/nightly}]'
    platform.commit({"services.yaml": PLATFORM, **with_jobs("down", manifest=every_minute)})
    platform.start()
    assert platform.stop() == 0
    put_back(platform.data, timedelta(hours=3))
    platform.start()
    told = until_sync(lambda: runs_of(platform, "down", "each"), what="the run that was caught up")
    caught_up = end_of(platform, "down", told[-1]["id"])
    assert (caught_up["cause"], caught_up["state"]) == ("catch-up", "done")
    assert 178 <= job_of(platform, "down", "each")["missed"] <= 180
    event = eventually(
        lambda: next((each for each in platform.service("down")["events"] if each["kind"] == "RunsMissed"), None),
        what="its event",
    )
    assert event["message"].endswith("times were missed by each, 1 made good")


def put_back(data: Path, by: timedelta) -> None:
    """Let the journal believe that nobody looked for a while."""
    with sqlite3.connect(data / "journal.db") as journal:
        settled = datetime.now(UTC).replace(tzinfo=None) - by
        journal.execute("update jobs set settled = ?", (settled.isoformat(" "),))
        # A minute may have begun while the server ran.
        journal.execute("delete from runs")
    journal.close()
