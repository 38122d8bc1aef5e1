"""A journal in a database: the same as in the file, told in order, and kept by one server."""

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from reconciler.model.names import ServiceName
from reconciler.store.journal import Journal
from reconciler.store.postgres import Postgres as Database
from reconciler.store.tables import Table
from tests.pgbouncer import PgBouncer
from tests.postgres import Postgres
from tests.store.databases import everything_in, everything_of, name_of, nothing, refused, run
from tests.store.journals import TASKS, a_day, at, begin, make_live

GONE = "UPDATE reconciler.keeper SET seen_at = now() - interval '1 hour'"


def test_a_database_holds_the_same_as_the_file(tmp_path: Path, url: str) -> None:
    kept: list[object] = []

    async def scenario(journal: Journal) -> None:
        await a_day(journal)
        kept.append(await everything_of(journal))

    run(tmp_path, url, scenario)
    assert everything_in(url) == kept[0]


def test_the_migrations_make_exactly_the_tables_the_program_uses_there_too(url: str) -> None:
    database = Database(url)
    with database.transaction() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    database.forget()


def test_nobody_else_in_the_project_sees_the_journal(tmp_path: Path, url: str, postgres: Postgres) -> None:
    run(tmp_path, url, a_day)
    of_public = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    grants = "SELECT count(*) FROM information_schema.role_table_grants WHERE table_schema = 'reconciler'"
    readable = f"{grants} AND grantee <> 'postgres'"
    assert [postgres.ask(question, name_of(url)) for question in (of_public, readable)] == [[(0,)], [(0,)]]


def test_a_server_with_an_empty_folder_finds_its_history(tmp_path: Path, url: str) -> None:
    run(tmp_path / "first", url, a_day)

    async def look(journal: Journal) -> None:
        assert [row.id for row in (await journal.releases(TASKS)).items] == ["tasks-2", "tasks-1"]
        assert [row.release for row in await journal.failed_digests()] == ["tasks-2"]
        assert await begin(journal) == "tasks-3"

    run(tmp_path / "second", url, look)


def test_two_servers_cannot_keep_one_database(tmp_path: Path, url: str) -> None:
    async def beside(journal: Journal) -> None:
        await make_live(journal)
        said = await asyncio.to_thread(refused, tmp_path / "other", url)
        assert "in use by another server" in said
        await begin(journal)

    run(tmp_path / "one", url, beside)


def test_a_server_that_is_killed_comes_back_at_once_and_another_after_a_while(
    tmp_path: Path, url: str, postgres: Postgres
) -> None:
    run(tmp_path / "one", url, make_live)
    postgres.ask("UPDATE reconciler.keeper SET seen_at = now()", name_of(url))
    assert re.search("in use by another server, which was there [0-9] s ago", refused(tmp_path / "other", url))
    run(tmp_path / "one", url, begin)
    postgres.ask(GONE, name_of(url))
    run(tmp_path / "other", url, begin)
    assert [row[0] for row in everything_in(url)["releases"]] == ["tasks-1", "tasks-2", "tasks-3"]


def test_a_server_that_comes_back_to_what_another_kept_since_goes_on_from_there(tmp_path: Path, url: str) -> None:
    run(tmp_path / "one", url, a_day)
    run(tmp_path / "other", url, begin)

    async def look(journal: Journal) -> None:
        assert await begin(journal) == "tasks-4"

    run(tmp_path / "one", url, look)


def test_changes_that_only_one_folder_knows_are_never_dropped(own: Postgres, tmp_path: Path) -> None:
    url = own.url(own.create())
    run(tmp_path / "one", url, make_live)

    async def away(journal: Journal) -> None:
        own.stop()
        await begin(journal)

    run(tmp_path / "one", url, away)
    own.start()
    own.ask(GONE, name_of(url))
    run(tmp_path / "other", url, begin)
    before = (tmp_path / "one" / "journal.db").read_bytes()
    assert "holds changes that never came there" in refused(tmp_path / "one", url)
    assert (tmp_path / "one" / "journal.db").read_bytes() == before
    run(tmp_path / "one", None, begin)


def test_two_histories_are_never_mixed(tmp_path: Path, url: str) -> None:
    run(tmp_path / "one", url, make_live)
    run(tmp_path / "other", None, make_live)
    assert "history of another server" in refused(tmp_path / "other", url)


def test_a_journal_that_was_in_a_file_only_moves_into_an_empty_database(tmp_path: Path, url: str) -> None:
    run(tmp_path, None, a_day)
    run(tmp_path, url, nothing)
    assert [row[0] for row in everything_in(url)["releases"]] == ["reports-1", "tasks-1", "tasks-2"]


def test_what_happened_while_no_database_was_named_is_told_too(tmp_path: Path, url: str) -> None:
    run(tmp_path, url, a_day)

    async def forget(journal: Journal) -> None:
        await journal.forget(TASKS, at(9))

    run(tmp_path, None, forget)
    run(tmp_path, url, nothing)
    assert everything_in(url)["services"] == []
    assert everything_in(url)["failed_digests"] == []


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_pooler_may_stand_in_between(tmp_path: Path, postgres: Postgres, mode: str) -> None:
    name = postgres.create()
    with PgBouncer(postgres, mode) as pooler:  # type: ignore[arg-type]
        run(tmp_path, pooler.url(name), a_day)
        run(tmp_path / "second", pooler.url(name), begin)
    assert len(everything_in(postgres.url(name))["releases"]) == 4


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from reconciler.model.secret_version import Sealed, SecretVersion, Wrapped
from reconciler.store.journal import Journal, Transaction

async def main() -> None:
    journal = Journal(Path(sys.argv[1]), sys.argv[2])
    await journal.open()
    while True:
        number = await journal.event("Noted", "acknowledged", "tasks", at=datetime.now(UTC))
        print(number, flush=True)

asyncio.run(main())
"""


def test_kill_minus_nine_in_the_middle_of_it_loses_nothing_acknowledged(tmp_path: Path, url: str) -> None:
    path = tmp_path / "journal.db"
    for _ in range(2):
        command = [sys.executable, "-c", WRITER, str(path), url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            acknowledged = [int(child.stdout.readline()) for _ in range(150)][-1]
            child.send_signal(signal.SIGKILL)
    run(tmp_path, url, nothing)
    numbers = [row[0] for row in everything_in(url)["events"]]
    assert len(numbers) >= acknowledged and numbers == list(range(1, len(numbers) + 1))


def test_the_longest_name_of_a_service_fits(tmp_path: Path, url: str) -> None:
    async def scenario(journal: Journal) -> None:
        await make_live(journal, ServiceName("a" * 63))

    run(tmp_path, url, scenario)
    assert everything_in(url)["services"][0][0] == "a" * 63
