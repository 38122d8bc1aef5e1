"""One gateway with one service, for the many tests that leave it as it was."""

from collections.abc import Iterator

import pytest

from tests.gateway.neighbours import Gateway, Worker, live, serving, unready


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Gateway, Worker]]:
    """`tasks` is live, `reports` is not ready."""
    with serving() as (gateway, worker):
        gateway.control.table(
            {"/api/tasks": live("tasks", worker), "/api/reports": unready("reports", "tests_failed", 7)}
        )
        yield gateway, worker


@pytest.fixture
def gateway(served: tuple[Gateway, Worker]) -> Gateway:
    return served[0]


@pytest.fixture
def worker(served: tuple[Gateway, Worker]) -> Worker:
    return served[1]
