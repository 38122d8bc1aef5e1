"""What an enemy may push: each time one service says why not, and all the others are released and served."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.platform import Platform, Told, eventually
from tests.end_to_end.repository import Files
from tests.end_to_end.samples import PLATFORM, router, service
from tests.end_to_end.traffic import Traffic

PLAIN = "from fastapi import APIRouter\n\nrouter = APIRouter()\n"


@contextmanager
def harmless(platform: Platform) -> Iterator[None]:
    """Whatever is pushed inside: who was there serves, and the next good commit goes live beside it."""
    yield
    assert platform.version("steady") == "1"
    before = platform.version("bystander")
    version = str(int(before) + 1) if isinstance(before, str) else "1"
    platform.deploy(service("bystander", version))
    assert platform.version("bystander") == version
    assert platform.condition("steady")["status"] == "True"


def refusal(platform: Platform, name: str, reason: str) -> Told:
    """Its last good release serves, and its status says what is wrong, once and with a remedy."""
    assert platform.version(name) == "1"
    stalled = platform.condition(name, "Stalled")
    assert stalled["reason"] == reason, stalled
    problem: Told = platform.service(name)["problems"][0]
    assert problem["remedy"]
    assert "root:" not in f"{stalled}{problem}", "what a link leads to is never shown"
    return problem


# Y-13: what a manifest's paths lead to


@pytest.mark.parametrize("file", ["router.py", "service.yaml", "tests.yaml", "requirements.txt"])
def test_a_link_out_of_the_repository_is_never_followed(shared: Platform, file: str) -> None:
    name = f"link-{file.partition('.')[0]}"
    named = "requirements: requirements.txt\n" if file == "requirements.txt" else ""
    shared.deploy(service(name))
    with harmless(shared):
        shared.commit({f"services/{name}/{file}": None, **_without(service(name, "2", manifest=named), file)})
        _link(shared, f"services/{name}/{file}", "/etc/passwd")
        shared.deploy({})
        problem = refusal(shared, name, "ManifestInvalid")
        assert (problem["code"], problem["file"]) == ("symlink-outside", f"services/{name}/{file}")
    shared.deploy({f"services/{name}": None})


NOT_FILES = {
    "requirements that are not there": ("requirements: gone.txt\n", {}, "gone.txt is not in the folder"),
    "requirements that are a folder": (
        "requirements: what.txt\n",
        {"what.txt/inside": "six\n"},
        "what.txt is not in the folder",
    ),
    "tests that are not there": ("tests: [gone.yaml]\n", {}, "there is no file `gone.yaml`"),
    "tests that are a folder": ("tests: [what.yaml]\n", {"what.yaml/inside": "x\n"}, "there is no file `what.yaml`"),
}


@pytest.mark.parametrize("case", NOT_FILES, ids=lambda case: case.replace(" ", "_"))
def test_a_path_that_leads_to_no_file_is_refused_at_its_line(shared: Platform, case: str) -> None:
    name = f"path-{list(NOT_FILES).index(case)}"
    manifest, files, says = NOT_FILES[case]
    shared.deploy(service(name))
    with harmless(shared):
        inside = {f"services/{name}/{path}": content for path, content in files.items()}
        shared.deploy({**service(name, "2", manifest=manifest), **inside})
        problem = refusal(shared, name, "ManifestInvalid")
        assert says in problem["message"]
        assert (problem["file"], problem["line"]) == (f"services/{name}/service.yaml", 2)


@pytest.mark.parametrize("instead", [{}, {"router.py/inside": "x\n"}], ids=["nothing", "a folder"])
def test_a_router_that_is_no_file_is_refused(shared: Platform, instead: dict[str, str]) -> None:
    name = f"routerless-{len(instead)}"
    shared.deploy(service(name))
    with harmless(shared):
        shared.commit({f"services/{name}/router.py": None})
        shared.deploy({f"services/{name}/{path}": content for path, content in instead.items()})
        assert "No module named 'router'" in refusal(shared, name, "ImportFailed")["message"]


# Y-12: who was there first


def test_a_second_folder_of_one_name_does_not_take_the_prefix(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM + "services: 'team-*/*'\n", **_below("team-a", service("tasks"))})
    platform.start()
    platform.deploy({**_below("team-b", service("tasks", "2")), **_below("team-b", service("other"))})
    assert platform.version("tasks") == "1"
    assert platform.version("other") == "1"
    stalled = platform.condition("tasks", "Stalled")
    assert stalled["reason"] == "RouteConflict"
    assert "team-a/tasks" in stalled["message"] and "team-b/tasks" in stalled["message"]


# Y-18 and G-21: what is gone from git


def test_a_folder_whose_manifest_is_gone_is_a_removed_service(shared: Platform) -> None:
    shared.deploy(service("disowned"))
    with harmless(shared):
        told = shared.deploy({"services/disowned/service.yaml": None})
        assert [(one["service"], one["verb"], one["outcome"]) for one in told["actions"]] == [
            ("disowned", "remove", "done")
        ]
        assert shared.version("disowned") == 404
        odd = "`services/disowned` holds a router.py and no service.yaml, so it is no service"
        assert odd in shared.said()
        assert f"{odd}: add a service.yaml" in shared.sync()["message"]
    shared.deploy(service("disowned", "2"))
    assert shared.version("disowned") == "2"


def test_a_commit_that_deletes_nearly_everything_is_obeyed_and_taken_back_by_a_revert(platform: Platform) -> None:
    names = [f"many-{number}" for number in range(6)]
    files = {path: text for name in names for path, text in service(name).items()}
    platform.commit({"services.yaml": PLATFORM, **files})
    platform.start()
    told = platform.deploy({f"services/{name}": None for name in names[1:]})
    assert {one["service"] for one in told["actions"] if one["verb"] == "remove"} == set(names[1:])
    assert [platform.version(name) for name in names] == ["1", *[404] * 5]
    platform.repository.git("revert", "--no-edit", "HEAD")
    platform.sync()
    assert [platform.version(name) for name in names] == ["1"] * 6


# G-18, G-32, Y-19: history that moves


def test_a_rewritten_history_is_followed_and_said(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    platform.start()
    old = platform.commit(service("tasks", "2"))
    platform.sync()
    new = platform.repository.rewrite(service("tasks", "3"))
    platform.sync()
    assert platform.version("tasks") == "3"
    eventually(lambda: f"main was rewritten: {old[:8]} -> {new[:8]}" in platform.said(), what="the word of it")
    assert platform.said().count("was rewritten") == 1
    rolled = platform.control.post("/v1/services/tasks/rollback")
    assert rolled.status_code == 200, rolled.text
    eventually(lambda: platform.version("tasks") == "2", what="the release whose commit is no longer in the branch")


def test_of_fifty_pushes_the_newest_wins_and_no_release_is_made_of_two(shared: Platform, tmp_path: Path) -> None:
    barrier = tmp_path / "held"

    def push(number: int) -> None:
        # While the barrier stands no release gets ready, so that each is overtaken by the next on any machine.
        wait = f"import os, time\n\nwhile os.path.exists({str(barrier)!r}):\n    time.sleep(0.01)\n"
        shared.commit(service("hasty", str(number), also=wait, manifest=f'env: {{GREETING: "{number}"}}\n'))

    push(0)
    shared.sync()
    seen: set[tuple[str, str]] = set()
    with harmless(shared), Traffic(shared.port, ["/api/hasty"]) as traffic:
        for number in range(1, 51):
            if number == 26:
                barrier.touch()
            push(number)
            asked = shared.control.post("/v1/sync").raise_for_status().json()["id"]
            # The work tree goes on changing, and what is not committed is nobody's.
            (shared.repository.path / "services/hasty/router.py").write_text("raise SystemExit\n")
            answer = shared.services.get("/api/hasty/version").json()
            seen.add((answer["version"], answer["greeting"]))
        barrier.unlink()
        eventually(lambda: shared.version("hasty") == "50", within=30, what="the newest")
        eventually(lambda: _is_over(shared, asked), within=30, what="the end of the last sync")
    assert all(version == greeting for version, greeting in seen), seen
    assert (traffic.tally.lost, traffic.tally.closed) == (0, 0), traffic.tally
    assert shared.version("hasty") == "50"
    releases = shared.control.get("/v1/services/hasty/releases", params={"limit": 100}).json()["items"]
    served = {int(one["id"].rpartition("-")[2]) for one in releases if one["live_at"]}
    assert len(served) <= 28, "what was overtaken never served"


# D-19 and D-20: what stands in for something else


TOO_OLD = {
    "fastapi": ("fastapi==0.95.0", "fastapi>=0.109"),
    "starlette": ("starlette==0.27.0", "fastapi>=0.109"),
    "uvicorn": ("uvicorn==0.30.0", "uvicorn>=0.35"),
}


@pytest.mark.parametrize("package", TOO_OLD)
def test_a_framework_that_a_worker_cannot_serve_with_is_refused_by_name(shared: Platform, package: str) -> None:
    pin, needed = TOO_OLD[package]
    shared.deploy(service(f"old-{package}"))
    with harmless(shared):
        shared.deploy(service(f"old-{package}", "2", manifest=f"requirements: ['{pin}']\n"))
        problem = refusal(shared, f"old-{package}", "RequirementsFailed")
        assert (problem["file"], problem["line"]) == (f"services/old-{package}/service.yaml", 2)
        told = shared.service(f"old-{package}")
        assert needed in f"{problem['message']} {told['detail']}"
        assert package in f"{problem['message']} {told['detail']}"


def test_the_oldest_framework_that_is_accepted_answers(shared: Platform) -> None:
    shared.deploy(service("oldest", manifest="requirements: ['fastapi==0.109.0']\n"))
    assert shared.version("oldest") == "1"


def test_a_module_named_like_one_of_pythons_is_caught_at_the_start(shared: Platform) -> None:
    shared.deploy(service("namesake"))
    with harmless(shared):
        wants = router("namesake", "from types import Task\n" + PLAIN)
        shared.deploy({**wants, "services/namesake/types.py": "class Task: pass\n"})
        problem = refusal(shared, "namesake", "ImportFailed")
        assert (problem["file"], problem["line"]) == ("services/namesake/router.py", 1)
        assert problem["message"] == "ImportError: cannot import name 'Task' from 'types'"
        assert problem["remedy"].startswith("rename types.py: Python has a module types of its own")


def test_modules_named_like_pythons_that_nobody_imports_stand_in_for_none(shared: Platform) -> None:
    names = ("types", "asyncio", "json", "logging", "socket", "typing")
    shared.deploy({**service("namesakes"), **{f"services/namesakes/{name}.py": "raise SystemExit\n" for name in names}})
    assert shared.version("namesakes") == "1"


def _link(platform: Platform, path: str, target: str) -> None:
    where = platform.repository.path / path
    where.parent.mkdir(parents=True, exist_ok=True)
    where.symlink_to(target)


def _below(folder: str, files: Files) -> Files:
    return {path.replace("services/", f"{folder}/", 1): text for path, text in files.items()}


def _without(files: Files, file: str) -> Files:
    return {path: text for path, text in files.items() if not path.endswith(f"/{file}")}


def _is_over(platform: Platform, sync: str) -> bool:
    return platform.control.get(f"/v1/syncs/{sync}").json()["state"] in {"done", "failed", "superseded"}
