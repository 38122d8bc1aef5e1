"""Places for journals; a database is made ready once and then copied, which takes a tenth of the time."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.store.postgres import Postgres as Prepared
from tests.postgres import Postgres
from tests.store.journals import InDatabase, Place


@pytest.fixture(scope="session")
def prepared(postgres: Postgres) -> str:
    """A database with the tables of this version and nothing in them."""
    name = postgres.create()
    prepared = Prepared(postgres.url(name))
    with prepared.transaction():
        pass
    prepared.forget()
    return name


@pytest.fixture
def database(postgres: Postgres, prepared: str) -> Callable[[], str]:
    """Makes a database; its URL."""
    return lambda: postgres.url(postgres.create(prepared))


@pytest.fixture(params=["in a file", "in a database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """What is asked of a journal is asked of both kinds."""
    if request.param == "in a file":
        return tmp_path / "journal.db"
    database: Callable[[], str] = request.getfixturevalue("database")
    return InDatabase(tmp_path, database())


@pytest.fixture
def url(database: Callable[[], str]) -> str:
    return database()


@pytest.fixture
def own() -> Iterator[Postgres]:
    """A PostgreSQL that a test may stop."""
    with Postgres() as server:
        yield server
