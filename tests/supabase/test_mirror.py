"""A Supabase project hears of releases, syncs and events: once, in order, sooner or later."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from postgrest import APIResponse
from postgrest.exceptions import APIError

from reconciler.store.journal import Journal
from reconciler.store.project import Project
from tests.store.journals import ON_THE_WAY, START, TASKS, at, begin, make_live
from tests.supabase.stack import Supabase
from tests.waiting import until

SQL = (Path(__file__).parents[2] / "docs" / "supabase-mirror.sql").read_text()
SOMEBODY = "00000000-0000-0000-0000-000000000001"
TABLES = ("reconciler_releases", "reconciler_syncs", "reconciler_events")


@pytest.fixture
def project(supabase: Supabase) -> Supabase:
    supabase.migrate(SQL)
    return supabase


def rows(answer: APIResponse) -> list[dict[str, Any]]:
    return [dict(row) for row in answer.data if isinstance(row, dict)]


def play(
    folder: Path, project: Supabase, scenario: Callable[[Journal], Awaitable[object]], key: str = "service_role"
) -> None:
    async def run() -> None:
        journal = Journal(folder / "journal.db", supabase=Project(project.url, project.key(key)))
        await journal.open()
        try:
            await scenario(journal)
        finally:
            await journal.close()

    asyncio.run(run())


async def a_day(journal: Journal) -> None:
    sync = await journal.begin_sync("push", START)
    await make_live(journal)
    await journal.event("ReleaseLive", "tasks-1 is live", TASKS, at=at(1))
    await journal.finish_sync(sync, "done", at(2), actions=[{"service": "tasks", "verb": "start"}])


def test_an_application_reads_what_the_platform_did(tmp_path: Path, project: Supabase) -> None:
    play(tmp_path, project, a_day)
    client = project.client(SOMEBODY)
    (release,) = rows(client.table("reconciler_releases").select("*").execute())
    (sync,) = rows(client.table("reconciler_syncs").select("id, state, actions").execute())
    (event,) = rows(client.table("reconciler_events").select("kind, message").eq("service", "tasks").execute())
    assert (release["id"], release["phase"], release["live_at"]) == ("tasks-1", "live", "2026-11-20T12:00:02+00:00")
    assert sync == {"id": 1, "state": "done", "actions": [{"service": "tasks", "verb": "start"}]}
    assert event == {"kind": "ReleaseLive", "message": "tasks-1 is live"}
    assert not {"config", "facts", "detail"} & release.keys(), "settings are nobody's business"


def test_nobody_but_the_platform_writes_and_nobody_reads_without_signing_in(tmp_path: Path, project: Supabase) -> None:
    play(tmp_path, project, a_day)
    stranger = project.client()
    for table in TABLES:
        for client in (stranger, project.client(SOMEBODY)):
            with pytest.raises(APIError, match="permission denied"):
                client.table(table).delete().gte("id", 0).execute()
        with pytest.raises(APIError, match="permission denied"):
            stranger.table(table).select("*").execute()


def test_the_sql_can_be_run_again_and_tells_realtime(project: Supabase) -> None:
    project.run(SQL)
    told = project.run("SELECT tablename FROM pg_publication_tables WHERE pubname = 'supabase_realtime'")
    assert {row[0] for row in told} == set(TABLES)


def test_with_the_project_away_nothing_waits_and_nothing_is_lost_or_doubled(tmp_path: Path, project: Supabase) -> None:
    async def scenario(journal: Journal) -> None:
        await a_day(journal)
        project.stop_rest()
        async with asyncio.timeout(60):
            for number in range(450):
                await journal.event("Noted", f"number {number}", TASKS, at=at(number))
        await until(lambda: journal.standings()[0].trouble, what="that it notices")
        project.start_rest()
        await until(lambda: journal.standings()[0].trouble is None, within=60, what="the project")

    play(tmp_path, project, scenario)
    play(tmp_path, project, begin)
    events = project.run("SELECT id, message FROM reconciler_events ORDER BY id")
    assert [row[0] for row in events] == list(range(1, 452))
    assert events[-1][1] == "number 449"
    assert project.run("SELECT id FROM reconciler_releases ORDER BY id") == [("tasks-1",), ("tasks-2",)]


def test_changes_arrive_in_the_order_in_which_they_were_made(tmp_path: Path, project: Supabase) -> None:
    project.run("CREATE TABLE heard (n serial, id text, phase text); GRANT ALL ON heard, heard_n_seq TO service_role")
    project.run(
        "CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO heard (id, phase) VALUES (NEW.id, NEW.phase); RETURN NEW; END $$;"
        "CREATE TRIGGER hear AFTER INSERT OR UPDATE ON reconciler_releases FOR EACH ROW EXECUTE FUNCTION hear()"
    )

    async def scenario(journal: Journal) -> None:
        release = await begin(journal)
        for phase in ON_THE_WAY:
            await journal.advance(release, phase, at(1))
            await until(lambda phase=phase: (phase,) in project.run("SELECT phase FROM heard"), what=phase)  # type: ignore[misc]

    play(tmp_path, project, scenario)
    heard = [row[0] for row in project.run("SELECT DISTINCT ON (n) phase FROM heard ORDER BY n")]
    assert [phase for phase in heard if phase in ON_THE_WAY] == list(ON_THE_WAY)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        pytest.param("anon", "does not let this key write", id="a key that may not write"),
        pytest.param("unknown", "does not let this key write", id="a key of another project"),
    ],
)
def test_a_key_that_may_not_write_is_said_so(tmp_path: Path, project: Supabase, key: str, says: str) -> None:
    async def scenario(journal: Journal) -> None:
        await a_day(journal)
        # The project may have to look at its own tables first.
        await until(lambda: says in str(journal.standings()[0].trouble), within=60, what="that it notices")
        assert project.key(key) not in str(journal.standings())

    play(tmp_path, project, scenario, key)


def test_a_project_without_the_tables_is_told_what_makes_them_and_gets_everything_then(
    tmp_path: Path, supabase: Supabase
) -> None:
    async def scenario(journal: Journal) -> None:
        await a_day(journal)
        await until(lambda: journal.standings()[0].trouble, what="that it notices")
        assert "docs/supabase-mirror.sql" in str(journal.standings()[0].trouble)
        supabase.migrate(SQL)
        await until(lambda: journal.standings()[0].trouble is None, within=60, what="the project")

    play(tmp_path, supabase, scenario)
    assert supabase.run("SELECT count(*) FROM reconciler_releases") == [(1,)]


def test_a_project_that_is_named_later_hears_of_what_was_before(tmp_path: Path, project: Supabase) -> None:
    async def before() -> None:
        journal = Journal(tmp_path / "journal.db")
        await journal.open()
        await a_day(journal)
        await journal.close()

    asyncio.run(before())
    play(tmp_path, project, begin)
    assert project.run("SELECT count(*) FROM reconciler_releases") == [(2,)]


def test_database_and_project_hear_of_the_same(tmp_path: Path, project: Supabase) -> None:
    """They may even be one: the journal is in a schema that the project's API does not show."""
    database = project.postgres.url(project.name)

    async def run() -> None:
        journal = Journal(tmp_path / "journal.db", database, Project(project.url, project.key("service_role")))
        await journal.open()
        await a_day(journal)
        await journal.close()

    asyncio.run(run())
    kept = project.run("SELECT id, phase FROM reconciler.releases")
    assert kept == project.run("SELECT id, phase FROM reconciler_releases") == [("tasks-1", "live")]
    with pytest.raises(APIError):
        project.client().schema("reconciler").table("releases").select("*").execute()
