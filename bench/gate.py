"""What the gate costs, and what it saves: commit → tested → live, and the way back from a release that is bad.

Detection is counted apart from the way back. A release is bad from the answer on that makes its share of failures clear
(`reconciler.model.watch`), but it is looked at five times a second: that takes 100 ms on average. "After detection" is
therefore from the moment at which control has decided, which is the one it writes down as the old release being live
again, to the first answer of the old release on a new connection.
"""

import statistics
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from textwrap import dedent

from bench.figure import Figure, at_most, told
from bench.release import fetch_of, release_of
from bench.stage import running, seconds_until, version_at
from reconciler.model.watch import FAILURES_NEEDED
from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import service
from tests.waiting import until_sync

ROUNDS = 25
WARM_UP = 2
WAYS_BACK = 9
WATCHED = "watch_window: 60s\n"
SUITE = dedent(
    """
    version: 1
    cases:
      - {name: says its version, GET: /version, expect: {status: 200, json: {$.version: {type: string}}}}
      - {name: says who it is, GET: /version, expect: {status: 200, json: {$.pid: {gt: 0}}}, capture: {pid: $.pid}}
      - {name: counts bytes, POST: /echo, text: hello, expect: {status: 200, json: {$.length: 5}}}
      - {name: is the same one, GET: "/version?pid=${pid}", expect: {json: {$.pid: "${pid}"}}}
      - {name: knows no other path, GET: /nothing, expect: {status: 404}}
    """
)
FAILING = """

@router.get("/failing")
async def failing():
    return {"version": VERSION}[None]
"""


def run() -> list[Figure]:
    with running(tested("start")) as platform:
        live, fetch = releases(platform)
        back = [way_back(platform, number) for number in range(WAYS_BACK)]
    detected, returned, whole = (statistics.median(one[part] for one in back) * 1000 for part in range(3))
    return [
        at_most("commit → tested → live (five cases) ÷ bare git fetch", live / fetch, 6),
        at_most("a bad release is detected → the old one answers, median", returned, 50, "ms"),
        told("commit → tested → live, median", live * 1000, "ms"),
        told("bare git fetch, median", fetch * 1000, "ms"),
        told(f"failing request number {FAILURES_NEEDED} → detected, median", detected, "ms"),
        told("first failing request → the old release answers, median", whole, "ms"),
    ]


def tested(version: str, also: str = "") -> Mapping[str, str]:
    return {**service("tasks", version, also=also, manifest=WATCHED), "services/tasks/tests.yaml": SUITE}


def releases(platform: Platform) -> tuple[float, float]:
    """Both measured for every commit, in turns."""
    release, fetch = release_of(platform), fetch_of(platform)
    taken: list[tuple[float, float]] = []
    for number in range(ROUNDS + WARM_UP):
        version = f"round-{number}"
        platform.commit(tested(version))
        first = number % 2
        bare = fetch(version) if first else 0.0
        ours = release(version)
        taken.append((ours, bare or fetch(version)))
    kept = taken[WARM_UP:]
    return statistics.median(ours for ours, _ in kept), statistics.median(bare for _, bare in kept)


def way_back(platform: Platform, number: int) -> tuple[float, float, float]:
    """Seconds from enough failures to detection, from there to the old release, and from the first failure to it."""
    good, bad = f"good-{number}", f"bad-{number}"
    platform.deploy(tested(good))
    platform.deploy(tested(bad, FAILING))
    seconds_until(platform.port, bad)
    returned: list[float] = []
    looking = threading.Thread(target=lambda: returned.append(_when(platform, good)))
    looking.start()
    first = time.time()
    for _ in range(FAILURES_NEEDED + 3):
        platform.services.get("/api/tasks/failing")
    enough = time.time()
    looking.join()
    detected = until_sync(lambda: _decided_at(platform), what="the decision in the books")
    return max(detected - enough, 0.0), max(returned[0] - detected, 0.0), returned[0] - first


def _when(platform: Platform, version: str) -> float:
    while version_at(platform.port) != version:
        time.sleep(0.002)
    return time.time()


def _decided_at(platform: Platform) -> float:
    bad, good = platform.control.get("/v1/services/tasks/releases", params={"limit": 2}).json()["items"]
    return datetime.fromisoformat(good["live_at"]).timestamp() if bad["phase"] == "failed" else 0.0
