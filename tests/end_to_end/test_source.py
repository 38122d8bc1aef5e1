"""Trouble with the source is never read as a deletion: everything keeps running, says so, and recovers alone."""

import subprocess
from collections.abc import Callable

import pytest

from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import PLATFORM, service

Trouble = Callable[[Platform], Callable[[], object]]
"""Does something to the repository and returns how to mend it."""


def unreachable(platform: Platform) -> Callable[[], object]:
    path = platform.repository.path
    away = path.rename(path.with_name("away"))
    return lambda: away.rename(path)


def branch_deleted(platform: Platform) -> Callable[[], object]:
    platform.repository.git("branch", "--move", "main", "elsewhere")
    return lambda: platform.repository.git("branch", "--move", "elsewhere", "main")


def corrupt(platform: Platform) -> Callable[[], object]:
    head = platform.repository.path / ".git" / "HEAD"
    before = head.read_text()
    head.write_text("nonsense\n")
    return lambda: head.write_text(before)


@pytest.mark.parametrize("trouble", [unreachable, branch_deleted, corrupt], ids=lambda trouble: trouble.__name__)
def test_the_source_is_in_trouble_and_comes_back(shared: Platform, trouble: Trouble) -> None:
    applied = shared.status()["revision_applied"]
    mend = trouble(shared)
    shared.sync()
    assert shared.version("steady") == "1"
    told = shared.status()
    assert told["source"]["condition"]["status"] == "False", told
    assert told["source"]["condition"]["reason"] == "SourceUnavailable"
    assert told["revision_applied"] == applied
    assert shared.condition("steady")["status"] == "True"

    mend()
    shared.deploy(service("mended", trouble.__name__))
    assert shared.version("mended") == trouble.__name__
    assert shared.status()["source"]["condition"]["status"] == "True"


def test_damage_of_the_mirror_below_one_service_is_mended_without_a_commit(shared: Platform) -> None:
    manifest = "env: {WHAT: rots}\n"
    shared.deploy(service("rotting", manifest=manifest))
    shared.commit(service("rotting", "2", manifest=manifest))
    shared.control.get("/v1/plan").raise_for_status()
    spoil(shared, "services/rotting/service.yaml")  # once the commit is there: a fetch might notice
    assert shared.sync()["state"] == "failed"
    eventually(lambda: shared.version("rotting") == "2", what="a mirror that was fetched anew")
    assert shared.condition("rotting")["status"] == "True"


def spoil(platform: Platform, path: str) -> None:
    """Damage one file in the mirror, and nothing else."""
    (mirror,) = (platform.data / "mirror").glob("*.git")
    blob = platform.repository.git("rev-parse", f"HEAD:{path}")
    for pack in mirror.glob("objects/pack/*.pack"):
        content = pack.read_bytes()
        for part in mirror.glob(f"objects/pack/{pack.stem}.*"):
            part.unlink()
        git = ["git", f"--git-dir={mirror}", "unpack-objects", "-q"]
        subprocess.run(git, input=content, check=True, timeout=30)
    place = mirror / "objects" / blob[:2] / blob[2:]
    place.chmod(0o644)
    place.write_bytes(b"rotten")


def test_an_empty_listing_unmounts_nothing(shared: Platform) -> None:
    shared.deploy({"services": None})
    assert shared.version("steady") == "1"
    assert shared.status()["services"] >= 1
    shared.repository.git("revert", "--no-edit", "HEAD")
    shared.sync()
    assert shared.version("steady") == "1"


def test_a_services_yaml_that_cannot_be_read_changes_nothing(shared: Platform) -> None:
    shared.deploy({"services.yaml": "version: 1\nmount: [\n", **service("steady", "2")})
    assert shared.version("steady") == "1"
    shared.deploy({"services.yaml": PLATFORM})
    assert shared.version("steady") == "2"


def test_an_empty_repository_is_waited_for(platform: Platform) -> None:
    platform.flags = ("--poll", "1s")
    platform.begin()
    eventually(lambda: platform.control.get("/healthz").status_code == 200, within=30, what="/healthz")
    platform.commit({"services.yaml": PLATFORM, **service("first")})
    eventually(lambda: platform.version("first") == "1", within=60, what="the first commit")


def test_polling_finds_a_commit_by_itself(platform: Platform) -> None:
    platform.flags = ("--poll", "1s")
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    platform.start()
    platform.commit(service("tasks", "2"))
    eventually(lambda: platform.version("tasks") == "2", within=40, what="the poll")


def test_a_second_branch_is_none_of_its_business(shared: Platform) -> None:
    before = shared.status()["revision_applied"]
    shared.repository.git("checkout", "--quiet", "-b", "feature")
    shared.deploy(service("unmerged"))
    assert shared.version("unmerged") == 404
    assert shared.status()["revision_applied"] == before
    shared.repository.git("checkout", "--quiet", "main")
