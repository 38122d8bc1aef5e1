"""How the whole suite is run; what single tests need stands beside them."""

import os
from collections.abc import Iterator

import pytest

from tests.postgres import Postgres


def pytest_xdist_auto_num_workers() -> int:
    """Most tests wait for processes and sockets: two of them share a core well."""
    return 2 * (os.cpu_count() or 1)


SLOW_FIRST = ("tests/end_to_end", "tests/supabase", "tests/check", "tests/dashboard", "tests/suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process is left with one at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW_FIRST))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for as long as the tests run; each takes a database of its own."""
    with Postgres() as server:
        yield server
