"""Requests through the platform against the same router in plain uvicorn: what does the platform cost?"""

import statistics
from collections.abc import Callable

from bench.figure import Figure, at_least, at_most, ratio, told
from bench.load import WRK, Load, drive
from bench.stage import plain_uvicorn, python_of, running

ROUNDS = 7
SECONDS = 3.0


def run() -> list[Figure]:
    with running() as platform, plain_uvicorn(python_of(platform), platform.folder / "plain") as port:
        urls = [f"http://127.0.0.1:{number}/api/tasks/version" for number in (platform.port, port)]
        for url in urls:
            drive(url, seconds=1)
        ours, theirs = side_by_side(urls, lambda url: drive(url, seconds=SECONDS))
        our_new, their_new = side_by_side(urls, lambda url: drive(url, seconds=SECONDS, close=True))
    tool = "wrk" if WRK else "no wrk: our own client"
    every = [*ours, *theirs, *our_new, *their_new]
    return [
        at_least("requests/s ÷ plain uvicorn, 32 keep-alive connections", ratio(*rates(ours, theirs)), 1.0, noise=0.05),
        at_least("requests/s ÷ plain uvicorn, a new connection each", ratio(*rates(our_new, their_new)), 0.9),
        at_most("p99 latency ÷ plain uvicorn", ratio([a.p99 for a in ours], [b.p99 for b in theirs]), 1.1),
        told(f"requests/s through the platform ({tool})", statistics.median(a.rate for a in ours), "/s"),
        told("requests/s in plain uvicorn", statistics.median(b.rate for b in theirs), "/s"),
        at_most("failed requests of all of these", sum(load.failed for load in every), 0, ""),
    ]


def side_by_side(urls: list[str], measure: Callable[[str], Load]) -> tuple[list[Load], list[Load]]:
    """A and B, then B and A: whatever drifts, drifts for both."""
    ours: list[Load] = []
    theirs: list[Load] = []
    for number in range(ROUNDS):
        sides = [(urls[0], ours), (urls[1], theirs)]
        for url, loads in sides if number % 2 == 0 else reversed(sides):
            loads.append(measure(url))
    return ours, theirs


def rates(ours: list[Load], theirs: list[Load]) -> tuple[list[float], list[float]]:
    return [load.rate for load in ours], [load.rate for load in theirs]
