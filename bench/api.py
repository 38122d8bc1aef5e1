"""What a look at the status costs must not grow with the services, nor with what ever happened.

Both sides are running platforms. Nearly all services are suspended: known and told, without a process each. Events are
put into the journal while nobody has it open. Measured is the processor time that control spends on a request, which
a busy machine does not change.
"""

import sqlite3
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.figure import Figure, at_most, told
from bench.scale import services
from bench.stage import running
from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import PLATFORM, service

FEW, MANY = 50, 5_000
LITTLE, MUCH = 1_000, 1_000_000
ROUNDS = 9
REQUESTS = 40
EVENT = "INSERT INTO events (at, kind, service, message, data) VALUES (?, 'SyncFinished', ?, 'nothing to do', '{}')"
AT = "2026-01-02 03:04:05.000000"


def run() -> list[Figure]:
    with running(services(FEW)) as few, running(services(MANY)) as many:
        page_few, page_many = compared(few, many, page)
        filtered = compared(few, many, found)[1]
    with with_events(LITTLE) as little, with_events(MUCH) as much:
        status_little, status_much = compared(little, much, status)
        newest_little, newest_much = compared(little, much, newest)
    return [
        at_most(f"/v1/services, a page of 50 at {MANY} services ÷ {FEW}", page_many / page_few, 1.5),
        at_most(f"/v1/status at {MUCH} events ÷ {LITTLE}", status_much / status_little, 1.5),
        at_most(f"/v1/events/newest at {MUCH} events ÷ {LITTLE}", newest_much / newest_little, 1.5),
        told("/v1/services, a page of 50", page_many * 1000, "ms"),
        told(f"/v1/services, one condition among {MANY} services", filtered * 1000, "ms"),
        told("/v1/status", status_much * 1000, "ms"),
    ]


def page(platform: Platform) -> None:
    assert len(platform.control.get("/v1/services?limit=50").raise_for_status().json()["items"]) == 50


def found(platform: Platform) -> None:
    platform.control.get("/v1/services?condition=Stalled").raise_for_status()


def status(platform: Platform) -> None:
    platform.control.get("/v1/status").raise_for_status()


def newest(platform: Platform) -> None:
    platform.control.get("/v1/events/newest?limit=50").raise_for_status()


def compared(one: Platform, other: Platform, ask: Callable[[Platform], None]) -> tuple[float, float]:
    """Seconds of processor time for one request, the median of rounds that take turns."""
    spent: dict[int, list[float]] = {one.port: [], other.port: []}
    for number in range(ROUNDS + 1):
        for side in (one, other) if number % 2 else (other, one):
            seconds = cost(side, ask)
            if number:  # the first fills caches
                spent[side.port].append(seconds)
    return statistics.median(spent[one.port]), statistics.median(spent[other.port])


def cost(platform: Platform, ask: Callable[[Platform], None]) -> float:
    pid = platform.process("control").pid
    before = processor_time(pid)
    for _ in range(REQUESTS):
        ask(platform)
    return (processor_time(pid) - before) / REQUESTS


def processor_time(pid: int) -> float:
    """Of all its threads, in seconds; `stat` would tell it in hundredths only."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@contextmanager
def with_events(count: int) -> Iterator[Platform]:
    files: Mapping[str, str] = {"services.yaml": PLATFORM, **service("tasks")}
    with running(files) as platform:
        platform.stop()
        with sqlite3.connect(platform.data / "journal.db") as journal:
            journal.executemany(EVENT, ((AT, f"service-{number % 50}") for number in range(count)))
        journal.close()
        yield platform.start()
