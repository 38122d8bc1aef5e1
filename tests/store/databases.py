"""A journal in a folder that is told to a database too, and what that database holds."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from reconciler.store.journal import Journal
from reconciler.store.postgres import Postgres as Database
from reconciler.store.tables import journaled
from reconciler.store.unusable import StoreUnusable
from tests.postgres import PASSWORD, Postgres
from tests.waiting import until

Rows = dict[str, list[tuple[object, ...]]]
Scenario = Callable[[Journal], Awaitable[object]]


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


def run(folder: Path, url: str | None, scenario: Scenario) -> None:
    async def play() -> None:
        journal = Journal(folder / "journal.db", url)
        await journal.open()
        try:
            await scenario(journal)
        finally:
            await journal.close()

    asyncio.run(play())


def refused(folder: Path, url: str) -> str:
    async def play() -> str:
        journal = Journal(folder / "journal.db", url)
        with pytest.raises(StoreUnusable) as caught:
            await journal.open()
        await journal.close()
        assert not caught.value.may_pass, "exit code 2"
        return str(caught.value)

    said = asyncio.run(play())
    assert PASSWORD not in said and "\n" not in said
    return said


async def nothing(_: Journal) -> None:
    pass


async def delivered(journal: Journal) -> None:
    (standing,) = journal.standings()
    await until(lambda: journal.standings()[0].trouble is None, within=60, what="the database")
    assert standing.name == "database"


async def everything_of(journal: Journal) -> Rows:
    return await journal.write(lambda transaction: rows_of(transaction._connection))


def everything_in(url: str) -> Rows:
    database = Database(url)
    with database.transaction() as connection:
        found = rows_of(connection)
    database.forget()
    return found


def rows_of(connection: Connection) -> Rows:
    return {
        table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
        for table in journaled()
    }


def drop_connections(postgres: Postgres, name: str) -> None:
    postgres.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
