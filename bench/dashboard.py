"""The dashboard at 2,000 services and at 20, in a real browser: when something is seen, and how much was sent for it.

The platform behind it stands still, so that only drawing, sending and painting count.
"""

import statistics

from playwright.sync_api import Browser, Request

from bench.figure import Figure, at_most, told
from tests.browser import browser, visiting
from tests.dashboard.serving import many, served
from tests.waiting import until_sync

ROUNDS = 7
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def run() -> list[Figure]:
    with browser() as opened:
        few, few_bytes = look(opened, 20)
        lots, lots_bytes = look(opened, 2000)
    return [
        at_most("dashboard: first contentful paint, 2,000 services ÷ 20", lots / few, 2),
        told("dashboard: first contentful paint, 2,000 services", lots, "ms"),
        at_most("dashboard: transferred, 2,000 services", lots_bytes / 1000, 300, "kB"),
        told("dashboard: transferred, 20 services", few_bytes / 1000, "kB"),
    ]


def look(opened: Browser, count: int) -> tuple[float, int]:
    """The median time to the first paint of `/` in milliseconds, and the bytes of a first visit."""
    with served(many(count)) as (home, link), visiting(opened, home) as visitor:
        visitor.go(link)
        cookies = visitor.page.context.cookies()
        session = cookies[0]["name"], cookies[0]["value"]
        visits = [first_visit(opened, home, session) for _ in range(ROUNDS)]
    return statistics.median(painted for painted, _ in visits), max(size for _, size in visits)


def first_visit(opened: Browser, home: str, session: tuple[str, str]) -> tuple[float, int]:
    """A browser that has never been here: nothing is kept from before."""
    sizes: list[int] = []
    with visiting(opened, home, session) as visitor:
        visitor.page.on("requestfinished", lambda request: sizes.append(weight(request)))
        page = visitor.go("/")
        page.locator("#link", has_text="Live").wait_for()
        # Not `wait_for_function`, which makes a script of a string where our policy allows none.
        painted = until_sync(lambda: page.evaluate(PAINTED), what="the first paint")
        return float(painted), sum(sizes)


def weight(request: Request) -> int:
    told = request.sizes()
    return told["requestHeadersSize"] + told["responseHeadersSize"] + told["responseBodySize"]
