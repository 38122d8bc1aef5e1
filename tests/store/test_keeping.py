"""A journal in a database: told in order, kept by one server, lost by nobody, whatever becomes of the database."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select

from reconciler.model.failure import Reason
from reconciler.model.names import ServiceName, WorkerId
from reconciler.model.secret_version import Sealed, SecretVersion, Wrapped
from reconciler.store.journal import Journal, Transaction
from reconciler.store.postgres import Postgres as Database
from reconciler.store.tables import Table, journaled
from reconciler.store.unusable import StoreUnusable
from tests.pgbouncer import PgBouncer
from tests.postgres import PASSWORD, Postgres
from tests.store.journals import REPORTS, START, TASKS, at, begin, make_live
from tests.waiting import until

Rows = dict[str, list[tuple[object, ...]]]
Scenario = Callable[[Journal], Awaitable[object]]
GONE = "UPDATE reconciler.keeper SET seen_at = now() - interval '1 hour'"


@pytest.fixture
def url(database: Callable[[], str]) -> str:
    return database()


@pytest.fixture
def own() -> Iterator[Postgres]:
    """A PostgreSQL that a test may stop."""
    with Postgres() as server:
        yield server


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


async def a_day(journal: Journal) -> None:
    """Something of everything, with things that go again."""
    sync = await journal.begin_sync("push", START)
    live = await make_live(journal)
    await journal.begin_worker(WorkerId(f"{live}.1"), live, "w", "h", at(1))
    await journal.worker_gone(WorkerId(f"{live}.1"), 9, at(2))
    failed = await begin(journal, letter="b")
    await journal.fail(failed, Reason.TESTS_FAILED, "it said \0 and \ud800", at(3))
    await journal.learn(live, report={"of": [1, 2.5, None, True, "ü"]})
    await make_live(journal, REPORTS)
    await journal.forget(REPORTS, at(4))
    await journal.set_source("main@sha1:1", None, START)
    await journal.event("SyncDone", "one started", TASKS, live, sync=sync, data={"kept": 3}, at=at(5))
    await journal.write(_secrets_and_access)
    await journal.finish_sync(sync, "done", at(5), message="one started")


def _secrets_and_access(transaction: Transaction) -> None:
    """Bytes, lists that may be none, and rows that nobody may change."""
    for version in (1, 2):
        sealed = Sealed(b"\0\xff" * version, Wrapped(b"wrapped", "master"))
        transaction.add_secret(SecretVersion("STRIPE_KEY", version, START, "a person", "master", False), sealed)
    transaction.erase_secrets([("STRIPE_KEY", 1)])
    for token, services in (("one", None), ("two", [TASKS])):
        given = {"parent": None, "created_by": "a person", "created_at": START, "expires_at": None}
        transaction.add_token(token, "h", name=token, kind="token", scopes=["read"], services=services, **given)  # type: ignore[arg-type]
    transaction.audit(START, "a person", "PUT /v1/secrets", token=None, service=None, address="::1", status=204)


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


def drop_connections(postgres: Postgres, name: str) -> None:
    postgres.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


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


def _newer(postgres: Postgres, url: str) -> str:
    postgres.ask("UPDATE reconciler.alembic_version SET version_num = '9999'", name_of(url))
    return url


def _read_only(postgres: Postgres, url: str) -> str:
    postgres.ask(f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
    return url


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        pytest.param(_newer, "which this program does not know", id="of a newer version"),
        pytest.param(_read_only, "read-only", id="read-only"),
        pytest.param(lambda pg, url: pg.url("absent"), "no such database", id="not there"),
        pytest.param(lambda pg, url: url.replace(PASSWORD, "wrong"), "the user or its password", id="wrong password"),
        pytest.param(
            lambda pg, url: f"{url}?pgbouncer=true", "an option that is not", id="an option of another driver"
        ),
        pytest.param(lambda pg, url: f"postgresql://u:{PASSWORD}@127.0.0.1:1/x", "cannot be reached", id="away"),
        pytest.param(lambda pg, url: f"mysql://u:{PASSWORD}@h/x", "not one of PostgreSQL", id="another database"),
        pytest.param(lambda pg, url: f"{PASSWORD} !", "not one of PostgreSQL", id="no URL at all"),
        pytest.param(lambda pg, url: f"postgresql://u:{PASSWORD}@h:port/x", "not one of PostgreSQL", id="a wrong port"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, url: str, postgres: Postgres, harm: Callable[[Postgres, str], str], says: str
) -> None:
    assert says.lower() in refused(tmp_path, harm(postgres, url)).lower()


def test_a_user_who_may_not_make_the_schema_is_told_how(tmp_path: Path, postgres: Postgres) -> None:
    name = postgres.create()
    postgres.ask(f"CREATE ROLE poor_{name} LOGIN PASSWORD '{PASSWORD}'")
    url = postgres.url(name, user=f"poor_{name}")
    assert "CREATE SCHEMA reconciler AUTHORIZATION" in refused(tmp_path, url)
    postgres.ask(f"CREATE SCHEMA reconciler AUTHORIZATION poor_{name}", name)
    run(tmp_path, url, make_live)
    assert len(everything_in(url)["releases"]) == 1


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


def test_the_password_is_in_no_repr_and_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    refused(tmp_path, f"postgresql://somebody:{PASSWORD}@127.0.0.1:1/x")
    assert PASSWORD not in caplog.text
    assert PASSWORD not in Database(f"postgresql://somebody:{PASSWORD}@h/x").place


def test_the_longest_name_of_a_service_fits(tmp_path: Path, url: str) -> None:
    async def scenario(journal: Journal) -> None:
        await make_live(journal, ServiceName("a" * 63))

    run(tmp_path, url, scenario)
    assert everything_in(url)["services"][0][0] == "a" * 63
