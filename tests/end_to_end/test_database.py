"""A platform whose journal is in PostgreSQL: the same to its users, whatever becomes of the database."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.platform import Platform, Told, command, eventually
from tests.end_to_end.samples import PLATFORM, service
from tests.end_to_end.traffic import Traffic
from tests.postgres import PASSWORD, Postgres
from tests.waiting import until_sync

BROKEN = service("tasks", "broken", also="\nraise RuntimeError('not this one')\n")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL that is stopped and started."""
    with Postgres() as own:
        yield own


@pytest.fixture
def database(server: Postgres) -> str:
    return server.create()


@pytest.fixture
def kept(platform: Platform, server: Postgres, database: str) -> Platform:
    """A platform that keeps its journal there, running one service."""
    platform.variables = {"RECONCILER_DATABASE_URL": server.url(database)}
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    return platform.start()


def phases(server: Postgres, database: str) -> dict[str, str]:
    rows = server.ask("SELECT id, phase FROM reconciler.releases", database)
    return dict(rows)


def destination(platform: Platform) -> Told:
    told: Told = platform.status()["destinations"][0]
    return told


def in_trouble(platform: Platform) -> Told:
    return told if (told := destination(platform))["trouble"] else {}


def test_with_the_database_killed_syncs_go_on_and_it_hears_of_all_when_it_is_back(
    kept: Platform, server: Postgres, database: str
) -> None:
    until_sync(lambda: phases(server, database).get("tasks-1") == "live", what="the release there")
    assert destination(kept)["trouble"] is None
    with Traffic(kept.port, ["/api/tasks"], clients=4) as traffic:
        server.stop()
        try:
            kept.deploy(service("tasks", "2"))
            assert kept.version("tasks") == "2"
            told = until_sync(lambda: in_trouble(kept), what="that the status says so")
            assert told["waiting"] and "cannot be reached" in str(told["trouble"])
            said = command("status", data=kept.data)
            assert (said.returncode, "database: The database cannot be reached" in said.stdout) == (1, True), (
                said.stdout
            )
            before = kept.worker("tasks")
            kept.kill("control")
            eventually(lambda: kept.control.get("/readyz").status_code == 200, within=20, what="control")
            assert kept.worker("tasks") == before, "what runs is taken over without the database"
            kept.deploy(service("tasks", "3"))
        finally:
            server.start()
        traffic.settle()
    assert (traffic.tally.lost, traffic.tally.closed) == (0, 0), traffic.tally
    until_sync(lambda: phases(server, database).get("tasks-3") == "live", within=45, what="the third release there")
    assert set(phases(server, database)) == {"tasks-1", "tasks-2", "tasks-3"}
    eventually(lambda: destination(kept)["trouble"] is None, what="that the status says so")


def test_on_another_machine_the_database_is_enough(
    kept: Platform, server: Postgres, database: str, tmp_path: Path, template: Path
) -> None:
    kept.deploy(BROKEN)
    assert kept.condition("tasks", "Stalled")["reason"] == "ImportFailed"
    assert kept.stop() == 0
    with Platform(tmp_path / "another", template, source=str(kept.repository.path)) as another:
        another.variables = kept.variables
        another.start()
        releases = another.control.get("/v1/services/tasks/releases").json()["items"]
        assert [release["id"] for release in releases] == ["tasks-2", "tasks-1"]
        assert another.condition("tasks", "Stalled")["reason"] == "ImportFailed", "it is not tried again"
        kept.commit(service("tasks", "mended"))
        another.sync()
        assert another.version("tasks") == "mended"
        assert another.service("tasks")["live"]["id"] == "tasks-3"


def test_two_servers_on_one_database_are_refused_and_the_first_goes_on(
    kept: Platform, tmp_path: Path, template: Path
) -> None:
    with Platform(tmp_path / "second", template, source=str(kept.repository.path)) as second:
        second.variables = kept.variables
        assert second.begin().wait(30) == 2
        assert "in use by another server" in second.said() and PASSWORD not in second.said()
    kept.deploy(service("tasks", "2"))
    assert kept.version("tasks") == "2"


def test_a_database_that_is_away_at_the_first_start_is_one_line_and_exit_code_2(platform: Platform) -> None:
    platform.variables = {"RECONCILER_DATABASE_URL": f"postgresql://somebody:{PASSWORD}@127.0.0.1:1/journal"}
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    assert platform.begin().wait(30) == 2
    assert "reconciler: The database cannot be reached. See that it runs" in platform.said()
    assert PASSWORD not in platform.said() and "Traceback" not in platform.said()


def test_the_password_is_in_no_file_of_the_data_folder_no_answer_and_no_other_environment(kept: Platform) -> None:
    assert PASSWORD not in kept.control.get("/v1/status").text + kept.said()
    for process in kept.family():
        assert PASSWORD not in environment_of(process.pid), process.command
        assert PASSWORD not in process.command
    files = [path for path in kept.data.rglob("*") if path.is_file()]
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
    settings = Path((kept.data / "run").read_text().strip()) / "settings.json"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600


def environment_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""
