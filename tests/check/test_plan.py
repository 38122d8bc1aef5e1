"""`reconciler plan`: what a sync would do, from a running server or from a folder alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.check.running import reconciler, service
from tests.check.test_check import put
from tests.end_to_end.platform import Platform
from tests.end_to_end.repository import Repository

WITH_A_FILTER = """
from fastapi import APIRouter

router = APIRouter()


@router.get("/version")
def version(of: str) -> dict[str, str]:
    return {"version": of}


@router.post("/version")
def publish() -> None:
    pass
"""
LOCAL = """\
replace  changed  code changed
         ~ GET /version
             breaks callers: query parameter `of` is new and required
         + POST /version
remove   gone     git no longer holds it
         - GET /version  breaks callers
start    new      new
         17 packages
         + GET /version
this folder, since HEAD  3 to change, 2 breaking, 1 to keep
"""


def test_a_folder_is_planned_without_a_server(repository: Repository, data: Path) -> None:
    repository.commit({**service("changed"), **service("gone")})
    repository.git("rm", "-r", "--quiet", "services/gone")
    put(repository, {"services/changed/router.py": WITH_A_FILTER, **service("new")})
    done = reconciler("plan", ".", "--data", str(data), cwd=repository.path)
    assert (done.returncode, done.stderr) == (0, "")
    packages = next(line for line in done.stdout.splitlines() if line.endswith(" packages"))
    assert done.stdout == LOCAL.replace("         17 packages", packages)


def test_a_folder_that_is_in_no_repository_is_all_new(tmp_path: Path, data: Path) -> None:
    for name, content in service("first").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    done = reconciler("plan", ".", "--no-routes", "--json", "--data", str(data), cwd=tmp_path)
    (action,) = json.loads(done.stdout)["actions"]
    assert (action["service"], action["verb"], action["routes"]) == ("first", "start", None)


@pytest.fixture
def platform(tmp_path: Path, data: Path) -> Iterator[Platform]:
    """With what the checks have installed before."""
    with Platform(tmp_path, data / "check") as made:
        made.commit({"services.yaml": "version: 1\n", **service("changed"), **service("kept"), **service("broken")})
        yield made.start()


def test_a_server_plans_what_was_pushed_and_does_not_do_it(platform: Platform) -> None:
    before = told(platform)
    base = platform.repository.git("rev-parse", "HEAD")
    platform.commit(
        {
            "services/changed/router.py": WITH_A_FILTER,
            "services/changed/service.yaml": "version: 1\nrequirements: [markdown==3.7]\nenv: {A: b}\n",
            "services/broken/router.py": "import no_such_module\n",
            "services/wrong/service.yaml": "version: 1\nreplcas: 2\n",
        }
    )
    planned = _plan(platform)
    actions = {action["service"]: action for action in planned["actions"]}
    assert {name: action["verb"] for name, action in actions.items()} == {
        "broken": "replace",
        "changed": "replace",
        "kept": "keep",
        "wrong": "hold",
    }
    changed = actions["changed"]
    assert changed["moved"] == ["code", "environment", "configuration"]
    assert changed["packages"] == [{"name": "markdown", "old": None, "new": "3.7"}]
    assert [(route["method"], route["kind"], bool(route["breaks"])) for route in changed["routes"]] == [
        ("GET", "changed", True),
        ("POST", "added", False),
    ]
    assert changed["breaking"]
    assert actions["broken"]["reason"] == "ImportFailed"
    assert actions["wrong"]["problems"][0]["line"] == 2
    assert told(platform) == before
    assert platform.control.get("/v1/syncs").json()["total"] == 1, "a plan is no sync"

    assert {action["verb"] for action in _plan(platform, ref=base)["actions"]} == {"keep"}
    assert {action["verb"] for action in _plan(platform, ref="main~1")["actions"]} == {"keep"}
    assert _plan(platform, ref="main", routes="false")["actions"][1]["routes"] is None
    for unknown in ("other", "f" * 40, "main~9"):
        assert platform.control.get("/v1/plan", params={"ref": unknown}).status_code == 404

    done = reconciler("plan", "--data", str(platform.data), cwd=platform.folder)
    assert done.returncode == 1
    assert "         markdown 3.7 added\n         ~ GET /version\n" in done.stdout
    assert "would fail: ModuleNotFoundError: No module named 'no_such_module'" in done.stdout

    platform.sync()
    (broken,) = (action for action in _plan(platform)["actions"] if action["service"] == "broken")
    assert (broken["verb"], broken["reason"], broken["problems"][0]["line"]) == ("hold", "ImportFailed", 1)

    platform.commit({"services.yaml": "version: 2\n"})
    planned = _plan(platform)
    assert planned["actions"] == []
    assert planned["message"].startswith("services.yaml:1:10: ")


def _plan(platform: Platform, **asked: str) -> dict[str, Any]:
    answer = platform.control.get("/v1/plan", params=asked)
    assert answer.status_code == 200, answer.text
    planned: dict[str, Any] = answer.json()
    return planned


def told(platform: Platform) -> list[dict[str, Any]]:
    """All that is said of the services, but for what they were asked of late."""
    items = platform.control.get("/v1/services").raise_for_status().json()["items"]
    return [{name: value for name, value in item.items() if name != "traffic"} for item in items]
