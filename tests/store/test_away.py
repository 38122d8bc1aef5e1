"""A database in trouble: away, silent, read-only, emptied, behind. Nobody waits for it, and nothing is lost."""

import asyncio
from pathlib import Path

import pytest

from reconciler.store.journal import Journal
from tests.postgres import Postgres
from tests.store.databases import delivered, drop_connections, everything_in, everything_of, name_of, nothing, run
from tests.store.journals import START, TASKS, a_day, at, begin, make_live
from tests.waiting import until


def test_with_the_database_away_everything_goes_on_and_nothing_is_lost(own: Postgres, tmp_path: Path) -> None:
    url = own.url(own.create())
    kept: list[object] = []

    async def scenario(journal: Journal) -> None:
        await make_live(journal)
        own.stop()
        for number in range(20):
            await journal.event("Noted", f"number {number}", TASKS, at=START)
        await until(lambda: journal.standings()[0].trouble, what="that it notices")
        (standing,) = journal.standings()
        assert "cannot be reached" in str(standing.trouble) and standing.waiting > 0 and standing.since
        own.start()
        await delivered(journal)
        await journal.forget(TASKS, at(9))
        kept.append(await everything_of(journal))

    run(tmp_path, url, scenario)
    assert everything_in(url) == kept[0]


def test_a_start_without_the_database_goes_on_with_what_is_here_and_tells_it_later(
    own: Postgres, tmp_path: Path
) -> None:
    url = own.url(own.create())
    run(tmp_path, url, make_live)
    own.stop()

    async def alone(journal: Journal) -> None:
        assert await begin(journal) == "tasks-2"

    async def later(journal: Journal) -> None:
        await begin(journal)
        await until(lambda: journal.standings()[0].trouble, what="that it notices")
        own.start()
        await delivered(journal)

    run(tmp_path, url, alone)
    run(tmp_path, url, later)
    assert [row[0] for row in everything_in(url)["releases"]] == ["tasks-1", "tasks-2", "tasks-3"]


def test_a_database_that_does_not_answer_delays_nobody(tmp_path: Path, url: str, postgres: Postgres) -> None:
    async def scenario(journal: Journal) -> None:
        await make_live(journal)
        await until(lambda: len(everything_in(url)["services"]) == 1, what="the first release there")
        postgres.freeze(name_of(url))
        try:
            async with asyncio.timeout(30):
                for _ in range(50):
                    await begin(journal)
        finally:
            postgres.thaw(name_of(url))

    run(tmp_path, url, scenario)
    assert len(everything_in(url)["releases"]) == 51


def test_a_database_that_turns_read_only_is_waited_for(tmp_path: Path, url: str, postgres: Postgres) -> None:
    name = name_of(url)

    async def scenario(journal: Journal) -> None:
        await make_live(journal)
        await until(lambda: len(everything_in(url)["services"]) == 1, what="the first release there")
        postgres.ask(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        drop_connections(postgres, name)
        await begin(journal)
        await until(lambda: journal.standings()[0].trouble, what="that it notices")
        assert "read-only" in str(journal.standings()[0].trouble)
        postgres.ask(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        drop_connections(postgres, name)
        await delivered(journal)

    run(tmp_path, url, scenario)
    assert len(everything_in(url)["releases"]) == 2


def test_a_connection_that_was_dropped_unnoticed_is_no_trouble(tmp_path: Path, url: str, postgres: Postgres) -> None:
    async def scenario(journal: Journal) -> None:
        await make_live(journal)
        await until(lambda: len(everything_in(url)["services"]) == 1, what="the first release there")
        drop_connections(postgres, name_of(url))
        await begin(journal)
        await until(lambda: len(everything_in(url)["releases"]) == 2, what="the second")
        assert journal.standings()[0].trouble is None

    run(tmp_path, url, scenario)


def test_a_database_that_somebody_emptied_gets_everything_again(tmp_path: Path, url: str, postgres: Postgres) -> None:
    async def scenario(journal: Journal) -> None:
        await a_day(journal)
        await until(lambda: len(everything_in(url)["events"]) == 1, what="the day there")
        postgres.ask("DROP SCHEMA reconciler CASCADE", name_of(url))
        drop_connections(postgres, name_of(url))
        await journal.event("Noted", "after it", at=START)

    run(tmp_path, url, scenario)
    there = everything_in(url)
    assert (len(there["releases"]), len(there["events"])) == (3, 2)


@pytest.mark.parametrize("while_it_runs", [True, False])
def test_a_database_that_forgot_something_gets_everything_again(
    tmp_path: Path, url: str, postgres: Postgres, while_it_runs: bool
) -> None:
    """As after a restore from a backup, or when a replica that was behind took over."""
    before = postgres.create(name_of(url))

    async def scenario(journal: Journal) -> None:
        await a_day(journal)
        await until(lambda: len(everything_in(url)["events"]) == 1, what="the day there")
        if while_it_runs:
            fall_back()
            await journal.event("Noted", "after it", at=START)

    def fall_back() -> None:
        drop_connections(postgres, name_of(url))
        postgres.ask(f"DROP DATABASE {name_of(url)} WITH (FORCE)")
        postgres.ask(f"CREATE DATABASE {name_of(url)} TEMPLATE {before}")

    run(tmp_path, url, make_live)
    postgres.ask(f"DROP DATABASE {before}")
    postgres.ask(f"CREATE DATABASE {before} TEMPLATE {name_of(url)}")
    run(tmp_path, url, scenario)
    if not while_it_runs:
        fall_back()
    run(tmp_path, url, nothing)
    there = everything_in(url)
    assert (len(there["releases"]), len(there["events"])) == (4, 2 if while_it_runs else 1)
