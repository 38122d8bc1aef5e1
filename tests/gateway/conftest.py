"""One gateway with one service, for the many tests that leave it as it was."""

from collections.abc import Iterator

import pytest

from tests.gateway.neighbours import Gateway, Worker, live, serving, unready
from tests.inside.stage import Zygote


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


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("zygote"))
    yield zygote
    zygote.close()


@pytest.fixture
def zygote(fork_server: Zygote) -> Iterator[Zygote]:
    """What the test asks of it ends with the test."""
    yield fork_server
    fork_server.tidy()
