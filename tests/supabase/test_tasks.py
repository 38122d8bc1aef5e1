"""The example service on Supabase, with its suite, against the real PostgREST."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.platform import ROOT, Platform, eventually
from tests.end_to_end.samples import PLATFORM
from tests.postgres import Postgres
from tests.supabase.stack import Supabase

FOLDER = ROOT / "services" / "tasks"


@pytest.fixture(scope="module")
def project(postgres: Postgres) -> Iterator[Supabase]:
    with Supabase(postgres) as made:
        made.migrate((FOLDER / "schema.sql").read_text())
        yield made


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, project: Supabase) -> Iterator[Platform]:
    """It has no secrets at first, and gets them as a person would give them."""
    with Platform(tmp_path_factory.mktemp("tasks")) as made:
        files = {f"services/tasks/{path.name}": path.read_text() for path in FOLDER.iterdir() if path.is_file()}
        made.commit({"services.yaml": PLATFORM, **files})
        made.start(ready_within=240)
        assert made.condition("tasks", "Stalled")["reason"] == "SecretMissing"
        for name, value in (("SUPABASE_URL", project.url), ("SUPABASE_KEY", project.key("anon"))):
            made.control.put(f"/v1/secrets/{name}", json={"value": value}).raise_for_status()
        eventually(lambda: made.condition("tasks")["reason"] == "Live", within=120, what="the service")
        yield made


def test_its_suite_passes_before_it_serves(platform: Platform, project: Supabase) -> None:
    suite = platform.service("tasks")["suite"]
    assert suite["verdict"] == "passed", suite
    assert project.run("SELECT count(*) FROM tasks") == [(0,)], "the suite cleans up"


def test_it_keeps_tasks_in_the_project(platform: Platform, project: Supabase) -> None:
    added = platform.services.post("/api/tasks/tasks", json={"slug": "real", "title": "Not a mock"})
    assert added.status_code == 201, added.text
    assert project.run("SELECT title, done FROM tasks WHERE slug = 'real'") == [("Not a mock", False)]
    project.run("UPDATE tasks SET private = true WHERE slug = 'real'")
    assert platform.services.get("/api/tasks/tasks/real").status_code == 404, "row-level security hides it"
    assert platform.services.patch("/api/tasks/tasks/real", json={"done": True}).status_code == 404


def test_a_project_that_is_away_is_503_and_comes_back(platform: Platform, project: Supabase) -> None:
    project.stop_rest()
    assert platform.services.get("/api/tasks/summary").status_code == 503
    project.start_rest()
    eventually(lambda: platform.services.get("/api/tasks/summary").status_code == 200, what="the project")


def test_its_key_is_in_no_log(platform: Platform, project: Supabase) -> None:
    files = [path for path in Path(platform.data, "logs").rglob("*") if path.is_file()]
    assert not [path for path in files if project.key("anon") in path.read_text(errors="replace")]
