"""Many jobs: all due in one second beside a release that is under way, and ten thousand that are not due at all."""

import statistics
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.figure import Figure, at_most, told
from bench.memory import private
from bench.stage import running, seconds_until
from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import service
from tests.waiting import until_sync

DUE = 500
DUE_SERVICES = 10
ROUNDS = 2
RELEASES = 3
AT_REST = 10_000
REST_SERVICES = 100
CALM_SECONDS = 5.0
REST_SECONDS = 15.0
SETTINGS = "version: 1\ndefaults: {drain: 1s, watch_window: 0s}\n"
EACH_MINUTE, NEVER_SOON = "* * * * *", "0 0 1 1 *"


def run() -> list[Figure]:
    """On one platform, whose services are released again with other jobs, so that only the jobs differ."""
    with running({"services.yaml": SETTINGS, **service("tasks"), **with_jobs(REST_SERVICES, 0, "")}) as platform:
        return [*at_rest(platform), *all_at_once(platform)]


def with_jobs(services: int, jobs: int, schedule: str, version: str = "1") -> dict[str, str]:
    """Services with so many jobs altogether."""
    lines = [f"  - {{name: job-{n}, schedule: '{schedule}', request: GET /version}}" for n in range(jobs // services)]
    manifest = "\n".join(["cron:", *lines]) if jobs else ""
    files: dict[str, str] = {}
    for number in range(services):
        files |= service(f"service-{number}", version, manifest=manifest)
    return files


def all_at_once(platform: Platform) -> list[Figure]:
    """Every minute all of them are due: commits are brought live in that second, and in a quiet one before it."""
    quiet: list[float] = []
    busy: list[float] = []
    late: list[float] = []
    spent: list[float] = []
    platform.deploy(with_jobs(DUE_SERVICES, DUE, EACH_MINUTE, "4"), within=300)
    control = platform.process("control").pid
    for number in range(ROUNDS):
        wait_for_quiet()
        quiet += [release(platform, f"quiet-{number}-{n}") for n in range(RELEASES)]
        platform.commit(service("tasks", f"busy-{number}"))
        minute, before = next_minute(), cpu_of(control)
        wait_for(minute)
        took = [(bring_live(platform, f"busy-{number}"), datetime.now(UTC))]
        took += [(release(platform, f"busy-{number}-{n}"), datetime.now(UTC)) for n in range(1, RELEASES)]
        runs = runs_of(platform, minute)
        spent.append((cpu_of(control) - before) / DUE)
        late += [run["late"] for run in runs]
        over = max(datetime.fromisoformat(run["finished_at"]) for run in runs)
        busy += [seconds for seconds, live in took if live - timedelta(seconds=seconds) < over]
    return [
        at_most(
            f"commit → live while {DUE} jobs are due ÷ idle", statistics.median(busy) / statistics.median(quiet), 3
        ),
        told(f"start delay of {DUE} jobs of one second, median", statistics.median(late) * 1000, "ms"),
        told(f"start delay of {DUE} jobs of one second, p99", statistics.quantiles(late, n=100)[98] * 1000, "ms"),
        told("commit → live meanwhile, median", statistics.median(busy) * 1000, "ms"),
        told("CPU of control per run, releases included", statistics.median(spent) * 1000, "ms"),
    ]


def runs_of(platform: Platform, minute: datetime) -> list[dict[str, Any]]:
    """Those of one minute, when all have ended; all are done, and none twice."""
    scheduled = minute.isoformat().replace("+00:00", "Z")

    def finished() -> list[dict[str, Any]]:
        found = []
        for number in range(DUE_SERVICES):
            page = platform.control.get(f"/v1/services/service-{number}/runs", params={"limit": 100}).json()
            found += [item for item in page["items"] if item["scheduled_at"] == scheduled]
        return found if len(found) >= DUE and all(item["finished_at"] for item in found) else []

    time.sleep(2)
    runs = until_sync(finished, within=30, what=f"{DUE} runs")
    assert Counter(item["state"] for item in runs) == {"done": DUE}, Counter(item["state"] for item in runs)
    assert len({item["id"] for item in runs}) == DUE
    return runs


def next_minute() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)


def wait_for(moment: datetime) -> None:
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


def wait_for_quiet() -> None:
    """The jobs of this minute are over, and those of the next are not near."""
    if not 5 <= (now := datetime.now(UTC)).second <= 40:
        wait_for(now.replace(second=5) + timedelta(minutes=now.second > 40))


def release(platform: Platform, version: str) -> float:
    platform.commit(service("tasks", version))
    return bring_live(platform, version)


def bring_live(platform: Platform, version: str) -> float:
    begun = time.perf_counter()
    platform.control.post("/v1/sync").raise_for_status()
    seconds_until(platform.port, version)
    return time.perf_counter() - begun


def at_rest(platform: Platform) -> list[Figure]:
    platform.deploy(with_jobs(REST_SERVICES, 0, "", "2"), within=300)
    idle_cpu, idle_memory = quietly(platform)
    platform.deploy(with_jobs(REST_SERVICES, AT_REST, NEVER_SOON, "3"), within=300)
    cpu, memory = quietly(platform)
    return [
        at_most(f"CPU of control with {AT_REST} jobs at rest ÷ none", cpu / idle_cpu, 1.5),
        at_most("memory of control per job", (memory - idle_memory) / AT_REST / 1000, 5, "kB"),
        told("CPU of control at rest", 1000 * idle_cpu / REST_SECONDS, "ms/s"),
    ]


def quietly(platform: Platform) -> tuple[float, int]:
    """Seconds of CPU in a while in which nobody asks anything, and the memory at its end."""
    time.sleep(CALM_SECONDS)
    control = platform.process("control").pid
    before = cpu_of(control)
    time.sleep(REST_SECONDS)
    return cpu_of(control) - before, private(control)


def cpu_of(pid: int) -> float:
    """Of all its threads, in seconds."""
    spent = (task.read_text().split()[0] for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(map(int, spent)) / 1e9
