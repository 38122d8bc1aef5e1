"""A journal that cannot be used says so in one sentence, and is never replaced by an empty one."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Table as SQLTable
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from reconciler.store.journal import Journal
from reconciler.store.migrate import configuration
from reconciler.store.opening import open_database
from reconciler.store.tables import HEAD, Table
from reconciler.store.unusable import StoreUnusable, explain
from tests.store.journals import START, TASKS, in_journal, make_live


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal.db"


@pytest.fixture
def used(path: Path) -> Path:
    """A journal with something in it."""
    in_journal(path, make_live)
    return path


def _zero_bytes(path: Path) -> None:
    path.write_bytes(b"")


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _hole(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:20480] = b"\xff" * 16384
    path.write_bytes(content)


def _prose(path: Path) -> None:
    path.write_text("This is not a database at all. " * 500)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()


def _something_else(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE recipes (title TEXT)")
    database.close()


def _deleted_beside_its_log(path: Path) -> None:
    path.rename(path.with_name("journal.db-wal"))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        pytest.param(_zero_bytes, "damaged", id="a file of zero bytes"),
        pytest.param(_half, "damaged", id="a file that was cut in half"),
        pytest.param(_hole, "damaged", id="a file with a hole in it"),
        pytest.param(_prose, "damaged", id="a file that is no database"),
        pytest.param(_folder, "not a file", id="a folder"),
        pytest.param(_newer, "newer", id="a journal of a newer version"),
        pytest.param(_something_else, "something else", id="a database of another program"),
        pytest.param(_deleted_beside_its_log, "is gone", id="a journal that was deleted beside its log"),
    ],
)
def test_a_journal_that_cannot_be_used_is_left_as_it_is(used: Path, harm: Callable[[Path], None], says: str) -> None:
    harm(used)
    before = {file: file.read_bytes() for file in used.parent.iterdir() if file.is_file()}

    async def scenario() -> None:
        journal = Journal(used)
        with pytest.raises(StoreUnusable, match=says) as caught:
            await journal.open()
        assert caught.value.remedy
        await journal.close()

    asyncio.run(scenario())
    assert {file: file.read_bytes() for file in used.parent.iterdir() if file.is_file()} == before


def test_a_journal_that_another_program_writes_to_is_refused(used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.store.opening.BUSY_SECONDS", 0.05)
    other = sqlite3.connect(used, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreUnusable, match="in use by another program"):
            open_database(used)
    finally:
        other.close()


def test_two_journals_on_one_file_cannot_be_open_at_once(used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.store.opening.BUSY_SECONDS", 0.05)

    async def scenario(first: Journal) -> None:
        second = Journal(used)
        with pytest.raises(StoreUnusable, match="in use"):
            await second.open()
        await second.close()
        assert await first.event("Noted", "unharmed", at=START) == 1

    in_journal(used, scenario)


@pytest.mark.skipif(os.geteuid() == 0, reason="[optional] root may write anywhere")
def test_a_journal_in_a_folder_that_cannot_be_written_to_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o500)
    with pytest.raises(StoreUnusable, match="cannot be"):
        open_database(path)


def test_a_journal_below_something_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StoreUnusable, match="cannot be made"):
        open_database(tmp_path / "data" / "journal.db")


def test_a_first_start_that_was_cut_short_leaves_nothing_in_the_way(path: Path) -> None:
    path.parent.mkdir()
    path.with_name("journal.db.new").write_bytes(b"half a")
    in_journal(path, make_live)
    assert sorted(file.name for file in path.parent.iterdir()) == ["journal.db"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_writes_after_the_close_are_refused(path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(path)
        await journal.open()
        await journal.close()
        with pytest.raises(StoreUnusable, match="closed"):
            await journal.begin_sync("poll", START)

    asyncio.run(scenario())


def test_a_full_disk_fails_the_write_and_not_the_journal(path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        full = "PRAGMA max_page_count = 60"
        await journal.write(lambda t: t._connection.exec_driver_sql(full))
        with pytest.raises(StoreUnusable, match="disk is full"):
            await journal.event("Noted", "x" * 1_000_000, at=START)
        roomy = "PRAGMA max_page_count = 100000"
        await journal.write(lambda t: t._connection.exec_driver_sql(roomy))
        assert await journal.event("Noted", "room again", at=START) > 0

    in_journal(path, scenario)


def test_the_migrations_make_exactly_the_tables_the_program_uses(path: Path) -> None:
    connection = open_database(path)
    with connection.begin():
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    connection.close()
    assert ScriptDirectory.from_config(configuration()).get_current_head() == HEAD


@pytest.mark.parametrize("table", Table.metadata.sorted_tables, ids=lambda table: table.name)
def test_every_table_can_also_be_one_of_postgresql(table: SQLTable) -> None:
    statement = str(
        CreateTable(table).compile(
            dialect=postgresql.dialect()  # type: ignore[no-untyped-call]
        )
    )
    assert "TIMESTAMP WITH TIME ZONE" in statement or "_at" not in statement


def test_the_database_is_opened_for_one_writer_and_flushes_each_commit(path: Path) -> None:
    connection = open_database(path)
    with connection.begin():
        ask = connection.exec_driver_sql
        told = [
            ask(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys", "locking_mode")
        ]
    connection.close()
    assert told == ["wal", 2, 1, "exclusive"]


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from reconciler.store.journal import Journal

async def main() -> None:
    journal = Journal(Path(sys.argv[1]))
    await journal.open()
    while True:
        number = await journal.event("Noted", "acknowledged", "tasks", at=datetime.now(UTC))
        print(number, flush=True)

asyncio.run(main())
"""


def test_kill_minus_nine_in_the_middle_of_writes_loses_nothing_acknowledged(path: Path) -> None:
    acknowledged = 0
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            numbers = (int(line) for line in child.stdout if line.endswith("\n"))
            acknowledged = next(islice(numbers, 50, None))
            child.send_signal(signal.SIGKILL)
            acknowledged = max(acknowledged, *numbers, 0)

    async def count(journal: Journal) -> int:
        return len(await journal.events(service=TASKS, limit=1_000_000))

    assert in_journal(path, count) >= acknowledged


def test_a_full_disk_is_trouble_that_may_pass_and_damage_is_not() -> None:
    full = explain(sqlite3.OperationalError("database or disk is full"))
    damaged = explain(sqlite3.DatabaseError("file is not a database"))
    assert isinstance(full, StoreUnusable) and full.may_pass
    assert isinstance(damaged, StoreUnusable) and not damaged.may_pass
