"""Ten commits in a row, good and bad, and what clients saw at each of them."""

import pytest

from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import PLATFORM, router, service
from tests.end_to_end.traffic import Traffic
from tests.waiting import until_sync

SIX = 'from importlib.metadata import version as of\n\n\n@router.get("/six")\nasync def six():\n    return of("six")\n'
SHARED = 'from shared.words import WORD\n\n\n@router.get("/word")\nasync def word():\n    return WORD\n'


@pytest.fixture
def tasks_and_others(platform: Platform) -> Platform:
    platform.commit(
        {
            "services.yaml": PLATFORM,
            "shared/words.py": 'WORD = "first"\n',
            **service("tasks"),
            **service("old"),
            **service("short"),
            **service("pinned", also=SIX, manifest="requirements: [six==1.16.0]\n"),
            **service("sharing", also=SHARED, manifest="watch: [shared/*]\n"),
        }
    )
    return platform.start(ready_within=120)


def test_ten_commits_and_what_clients_saw(tasks_and_others: Platform) -> None:
    platform = tasks_and_others
    with Traffic(platform.port, ["/api/tasks", "/api/sharing"]) as traffic:
        a_good_one(platform)
        a_bad_one(platform)
        a_worse_one(platform)
        good_again(platform)
        a_service_removed(platform)
        a_service_renamed(platform)
        a_requirement_changed(platform)
        a_shared_path_changed(platform)
        services_yaml_changed(platform)
        history_rewritten(platform)
        traffic.settle()
    tally = traffic.tally
    assert (tally.lost, tally.closed) == (0, 0), tally
    assert set(tally.versions) == {"1", "2", "3", "4"}, tally


def a_good_one(platform: Platform) -> None:
    sha = platform.commit(service("tasks", "2"))
    platform.sync()
    assert platform.version("tasks") == "2"
    told = platform.service("tasks")
    assert platform.condition("tasks")["reason"] == "Live"
    assert told["revision_changed"] == f"main@sha1:{sha}"
    assert platform.service("old")["revision_changed"] != told["revision_changed"]


def a_bad_one(platform: Platform) -> None:
    platform.deploy(router("tasks", "from fastapi import APIRouter\n\nrouter = APIRouter(\n"))
    assert platform.version("tasks") == "2"
    stalled = platform.condition("tasks", "Stalled")
    assert stalled["reason"] == "ImportFailed"
    assert stalled["file"] == "services/tasks/router.py"
    assert stalled["line"] == 3


def a_worse_one(platform: Platform) -> None:
    platform.deploy(router("tasks", "import os\n\nos._exit(7)\n"))
    assert platform.version("tasks") == "2"
    assert platform.condition("tasks", "Stalled")["reason"] in {"ImportFailed", "StartFailed"}
    assert platform.condition("sharing")["status"] == "True"


def good_again(platform: Platform) -> None:
    platform.deploy(service("tasks", "3"))
    assert platform.version("tasks") == "3"
    assert platform.condition("tasks")["status"] == "True"
    assert not platform.condition("tasks", "Stalled")


def a_service_removed(platform: Platform) -> None:
    platform.deploy({"services/short": None})
    answer = platform.services.get("/api/short/version")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert platform.control.get("/v1/services/short").status_code == 404


def a_service_renamed(platform: Platform) -> None:
    platform.deploy({"services/old": None, **service("new")})
    assert (platform.version("old"), platform.version("new")) == (404, "1")


def a_requirement_changed(platform: Platform) -> None:
    assert platform.services.get("/api/pinned/six").json() == "1.16.0"
    platform.deploy(service("pinned", also=SIX, manifest="requirements: [six==1.17.0]\n"))
    assert platform.services.get("/api/pinned/six").json() == "1.17.0"
    assert platform.service("pinned")["environment"]["packages"]["six"] == "1.17.0"


def a_shared_path_changed(platform: Platform) -> None:
    before = platform.service("tasks")["live"]["id"]
    assert platform.services.get("/api/sharing/word").json() == "first"
    platform.deploy({"shared/words.py": 'WORD = "second"\n'})
    assert platform.services.get("/api/sharing/word").json() == "second"
    assert platform.service("tasks")["live"]["id"] == before, "who does not watch it is left alone"


def services_yaml_changed(platform: Platform) -> None:
    platform.deploy({"services.yaml": PLATFORM + "overrides:\n  tasks: {env: {GREETING: hej}}\n"})
    assert platform.services.get("/api/tasks/version").json()["greeting"] == "hej"


def history_rewritten(platform: Platform) -> None:
    sha = platform.repository.rewrite(service("tasks", "4"))
    platform.sync()
    assert platform.version("tasks") == "4"
    assert platform.status()["revision_applied"] == f"main@sha1:{sha}"


def test_another_mount_moves_every_service(platform: Platform) -> None:
    unfit = {"services/unfit/service.yaml": "version: 1\nnonsense: true\n"}
    platform.commit({"services.yaml": PLATFORM, **service("tasks"), **unfit})
    platform.start()
    assert platform.version("unfit") == 503
    platform.deploy({"services.yaml": PLATFORM + "mount: /services/v1/api\n"})
    assert platform.version("tasks") == 404
    assert platform.version("tasks", mount="/services/v1/api") == "1"
    # One that never served moves behind the sync.
    until_sync(lambda: platform.version("unfit") == 404, what="the end of it where it was")
    assert platform.version("unfit", mount="/services/v1/api") == 503
