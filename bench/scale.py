"""Work must be proportional to the change, not to the number of services.

All but a few of the services are suspended: known, listed and compared at every sync, without a process each.
"""

import statistics
import time

from bench.figure import Figure, at_most, told
from bench.stage import running, seconds_until
from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import service

FEW = 50
MANY = 5000
ROUNDS = 15
SETTINGS = """
version: 1
defaults: {drain: 1s, suspend: true}
overrides: {tasks: {suspend: false}}
"""


def run() -> list[Figure]:
    with running(services(FEW)) as few, running(services(MANY)) as many:
        assert many.status()["services"] == MANY, many.status()
        idle: dict[int, list[float]] = {few.port: [], many.port: []}
        changed: dict[int, list[float]] = {few.port: [], many.port: []}
        for number in range(ROUNDS):
            for side in (few, many) if number % 2 else (many, few):
                idle[side.port].append(nothing_changed(side))
                changed[side.port].append(one_changed(side, f"version-{number}"))
        idle_few, idle_many = (statistics.median(idle[side.port]) for side in (few, many))
        changed_few, changed_many = (statistics.median(changed[side.port]) for side in (few, many))
    return [
        at_most(f"no-op sync, {MANY} services ÷ {FEW}", idle_many / idle_few, 2),
        at_most(f"one changed service, {MANY} ÷ {FEW}", changed_many / changed_few, 1.5),
        told(f"no-op sync with {MANY} services", idle_many * 1000, "ms"),
        told(f"commit → live with {MANY} services", changed_many * 1000, "ms"),
    ]


def services(count: int) -> dict[str, str]:
    idle = {path: text for n in range(1, count) for path, text in service(f"service-{n}", f"of-{n}").items()}
    return {"services.yaml": SETTINGS, **service("tasks"), **idle}


def nothing_changed(platform: Platform) -> float:
    begun = time.perf_counter()
    platform.sync()
    return time.perf_counter() - begun


def one_changed(platform: Platform, version: str) -> float:
    platform.commit(service("tasks", version))
    begun = time.perf_counter()
    platform.control.post("/v1/sync").raise_for_status()
    seconds_until(platform.port, version)
    taken = time.perf_counter() - begun
    platform.sync()
    return taken
