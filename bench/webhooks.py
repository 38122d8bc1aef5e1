"""Webhooks: how fast they are answered while much is going on, how soon they are live, what a burst of them costs."""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from bench.figure import Figure, at_most, told
from bench.release import fetch_of
from bench.stage import running, seconds_until
from tests import webhooks
from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import service
from tests.end_to_end.telling import listed, resident, syncs
from tests.waiting import until_sync
from tests.webhooks import ENVIRON, Hook

SERVICES = 1000
WHILES = 12
"""Syncs that are looked into, each with as many answers before it, while nothing goes on, as come while it runs."""
IDLE = 100
ROUNDS = 15
APART = 1.2
"""Seconds between two webhooks that are to be alone."""
BURST = 1000
CONNECTIONS = 20
SETTINGS = """
version: 1
defaults: {drain: 1s, suspend: true}
overrides: {tasks: {suspend: false}}
"""


def run() -> list[Figure]:
    return [*while_much_goes_on(), *until_live(), *at_once()]


def while_much_goes_on() -> list[Figure]:
    """Every sync finds all services changed; all but one are suspended, so that no process stands behind each.

    In every second one their manifests are wrong besides, so that there is something to write down about each.
    """
    idle: list[float] = []
    busy: list[float] = []
    with running(services("description"), variables=ENVIRON) as platform:
        answered(platform, IDLE)
        for number in range(WHILES):
            idle += answered(platform, IDLE)
            platform.commit(services("description" if number % 2 else "descriptoin", number))
            with syncing(platform) as is_running:
                while is_running():
                    busy += answered(platform, 1)
    return [
        at_most(f"webhook answer, p99 while a sync of {SERVICES} services runs ÷ idle", p99(busy) / p99(idle), 3),
        told("webhook answer when idle, p99", p99(idle) * 1000, "ms"),
        told(f"webhook answer while a sync of {SERVICES} services runs, p99", p99(busy) * 1000, "ms"),
        told("answers while they ran", len(busy), ""),
    ]


def until_live() -> list[Figure]:
    with running(variables=ENVIRON) as platform:
        fetch = fetch_of(platform)
        live, fetched = [], []
        for number in range(ROUNDS + 2):
            version = f"round-{number}"
            platform.commit(service("tasks", version))
            time.sleep(APART)
            begun = time.perf_counter()
            send(platform, fresh("main"))
            seconds_until(platform.port, version)
            live.append(time.perf_counter() - begun)
            fetched.append(fetch(version))
    live_median, fetch_median = statistics.median(live[2:]), statistics.median(fetched[2:])
    return [
        at_most("webhook → live ÷ bare git fetch", live_median / fetch_median, 5),
        told("webhook → live, median", live_median * 1000, "ms"),
    ]


def at_once() -> list[Figure]:
    with running(variables=ENVIRON) as platform:
        burst(platform, "warm-up")
        time.sleep(APART)
        before, memory = syncs(platform), resident(platform.process("control").pid)
        taken, receipts = burst(platform, "burst")
        time.sleep(APART)
        caused = syncs(platform) - before
        grown = resident(platform.process("control").pid) - memory
        newest = listed(platform, BURST)
        lost = BURST - len({one["id"] for one in newest if one["sync"] and one["id"] in receipts})
    return [
        at_most(f"syncs after {BURST} webhooks at once", caused, 2, ""),
        at_most(f"webhooks lost of {BURST}", lost, 0, ""),
        at_most("memory that they cost", grown / 2**20, 10, "MB"),
        told(f"time in which {BURST} webhooks were answered", taken, "s"),
    ]


def services(field: str, number: int = 0) -> dict[str, str]:
    """All of them with something else in a field of their manifests."""
    idle = {
        path: content
        for n in range(1, SERVICES)
        for path, content in service(f"service-{n}", manifest=f"{field}: round {number}\n").items()
    }
    return {"services.yaml": SETTINGS, **service("tasks"), **idle}


@contextmanager
def syncing(platform: Platform) -> Iterator[Callable[[], bool]]:
    thread = threading.Thread(target=platform.sync)
    thread.start()
    yield thread.is_alive
    thread.join()


def answered(platform: Platform, count: int) -> list[float]:
    """About another branch: written down, and nothing follows."""
    taken = []
    for _ in range(count):
        hook = fresh("topic")
        begun = time.perf_counter()
        send(platform, hook)
        taken.append(time.perf_counter() - begun)
    return taken


def fresh(branch: str) -> Hook:
    return webhooks.github(payload=webhooks.pushed(branch, nonce=uuid4().hex))


def send(platform: Platform, hook: Hook) -> None:
    platform.control.post(hook.path, content=hook.body, headers=hook.headers).raise_for_status()


def burst(platform: Platform, version: str) -> tuple[float, set[str]]:
    platform.commit(service("tasks", version))
    requests = [raw(fresh("main")) for _ in range(BURST)]
    begun = time.perf_counter()
    receipts = asyncio.run(post_all(platform.control_port, requests))
    taken = time.perf_counter() - begun
    until_sync(lambda: platform.version("tasks") == version, within=30, what=version)
    return taken, receipts


def raw(hook: Hook) -> bytes:
    headers = {"Host": "bench", **hook.headers, "Content-Length": str(len(hook.body))}
    lines = [f"POST {hook.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + hook.body


async def post_all(port: int, requests: list[bytes]) -> set[str]:
    receipts: set[str] = set()

    async def client(share: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in share:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length:"))
            body = await reader.readexactly(int(length.partition(":")[2]))
            assert " 202 " in head, head
            receipts.add(body.partition(b'"receipt":"')[2].partition(b'"')[0].decode())
        writer.close()

    await asyncio.gather(*(client(requests[number::CONNECTIONS]) for number in range(CONNECTIONS)))
    return receipts


def p99(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]
