"""A hundred releases under load: does any client lose an answer, or its connection?"""

import statistics
import time

from bench.figure import Figure, at_least, at_most, told
from bench.stage import running
from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import PLATFORM, service
from tests.end_to_end.traffic import Traffic

RELEASES = 100
ACTIVE = 50
IDLE = 500
AROUND = 0.05


def run() -> list[Figure]:
    with running({"services.yaml": PLATFORM, **service("tasks", "first"), **service("other")}) as platform:
        paths = ["/api/tasks", "/api/other"]
        with Traffic(platform.port, paths, clients=ACTIVE, idle=IDLE, think=0.02) as traffic:
            close_by = [release(platform, traffic, f"release-{number}") for number in range(RELEASES)]
            traffic.settle()
        tally = traffic.tally
    if tally.lost or tally.closed:
        print(tally)
    return [
        at_most(f"requests lost in {RELEASES} releases, of {tally.sent}", tally.lost, 0, ""),
        at_most(f"connections closed, of {ACTIVE + IDLE}", tally.closed, 0, ""),
        at_least(f"of {IDLE} POSTs per release, within 50 ms of the switch", statistics.median(close_by), IDLE / 2, ""),
        told("connections ever opened", tally.connections, ""),
    ]


guess = [0.1]
"""How long a release takes until its switch, learnt from those before."""


def release(platform: Platform, traffic: Traffic, version: str) -> int:
    """One release; every idle connection sends a POST around the moment of the switch. How many came close to it."""
    platform.commit(service("tasks", version))
    begun = time.monotonic()
    middle = statistics.median(guess[-9:])
    waking = traffic.wake_soon("/api/tasks/echo", after=max(0.0, middle - AROUND), over=2 * AROUND)
    platform.sync()
    sent = waking.result(60)
    traffic.settle(20)
    switched = traffic.tally.first_seen[version]
    guess.append(switched - begun)
    return sum(abs(moment - switched) <= AROUND for moment in sent)
