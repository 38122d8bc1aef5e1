"""From a commit to its answer, with the journal in PostgreSQL and in SQLite alone, turn by turn on one machine."""

import statistics
import time

from bench.figure import Figure, at_most, told
from bench.stage import running, seconds_until
from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import PLATFORM, service
from tests.postgres import Postgres

ROUNDS = 30
WARM_UP = 3
FILES = {"services.yaml": PLATFORM, **service("tasks")}


def run() -> list[Figure]:
    with Postgres() as postgres:
        database = {"RECONCILER_DATABASE_URL": postgres.url(postgres.create())}
        with running(FILES) as in_sqlite, running(FILES, variables=database) as in_postgres:
            sqlite, with_database = side_by_side(in_sqlite, in_postgres)
    return [
        at_most("commit → live on PostgreSQL ÷ on SQLite", with_database / sqlite, 1.3),
        told("commit → live on PostgreSQL, median", with_database * 1000, "ms"),
        told("commit → live on SQLite, median", sqlite * 1000, "ms"),
    ]


def side_by_side(*platforms: Platform) -> tuple[float, ...]:
    taken: list[list[float]] = [[] for _ in platforms]
    for number in range(ROUNDS + WARM_UP):
        for turn in range(len(platforms)):
            which = (number + turn) % len(platforms)
            taken[which].append(release(platforms[which], f"round-{number}"))
    return tuple(statistics.median(each[WARM_UP:]) for each in taken)


def release(platform: Platform, version: str) -> float:
    platform.commit(service("tasks", version))
    begun = time.perf_counter()
    platform.control.post("/v1/sync").raise_for_status()
    seconds_until(platform.port, version)
    return time.perf_counter() - begun
