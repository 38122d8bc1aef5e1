"""A forge hears what becomes of commits: a whole platform on one side, a strict stand-in for GitHub on the other."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import PLATFORM, service
from tests.forge.github import TOKEN, GitHub
from tests.waiting import until_sync

NOTHING = "import nothing_like_it\n"
FORGES = ROOT / "docs" / "forges.md"
SHOWN = "1a2b3c…"
WORTH_SHOWING = ("state", "context", "description", "ref", "environment")


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub().served() as served:
        yield served
        assert served.faults == []


@pytest.fixture
def told(tmp_path: Path, template: Path, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    words = ("--forge", "github", "--forge-repository", github.repository, "--forge-api", github.base)
    flags = ("--poll", "1h", *words, "--dashboard-url", "https://dash.example.com")
    with Platform(tmp_path, template, flags) as platform:
        platform.variables = {"RECONCILER_FORGE_TOKEN": TOKEN}
        platform.commit({"services.yaml": PLATFORM, **service("tasks"), **service("notes")})
        yield platform.start()


Calls = list[tuple[str, ...]]


def received(github: GitHub, sha: str) -> Calls:
    """What was told of a commit, as the page shows it."""
    of_this = {f"/deployments/{number}/statuses" for number, one in github.deployments.items() if one["sha"] == sha}
    calls = []
    for method, path, body in github.calls:
        if path == f"/statuses/{sha}" or path in of_this or body.get("ref") == sha:
            told = [f"    {name}: {value}" for name, value in body.items() if name in WORTH_SHOWING]
            lines = [f"{method} {path}", *told]
            calls.append(tuple(re.sub(r"/deployments/\d+", "/deployments/7", one.replace(sha, SHOWN)) for one in lines))
    return calls


def shown(name: str) -> Calls:
    found = re.search(rf"<!-- told: {name} -->\n```text\n(.*?)```", FORGES.read_text(), re.S)
    assert found is not None, f"no block shows what {name}"
    return [tuple(call.splitlines()) for call in re.split(r"\n(?=\S)", found[1].strip())]


def is_as_shown(calls: Calls, page: Calls) -> bool:
    """Services go side by side, and what is pending may be over before it could be said."""
    unsaid = [call for call in page if call not in calls]
    return all(call in page for call in calls) and all("    state: pending" in call for call in unsaid)


def latest(github: GitHub, sha: str) -> dict[str, str]:
    return {context: state for context, (state, _) in github.latest(sha).items()}


def active(github: GitHub) -> set[str]:
    return {one["sha"] for one in github.deployments.values() if one.get("state") == "success"}


def test_every_commit_gets_its_statuses(told: Platform, github: GitHub) -> None:
    first = told.repository.head()
    good = {"reconciler/tasks": "success", "reconciler/notes": "success", "reconciler/sync": "success"}
    until_sync(lambda: latest(github, first) == good, what="the first commit's statuses")
    states = [body["state"] for _, path, body in github.calls if path == f"/statuses/{first}"]
    assert states[0] == "pending", "it was pending before it was anything else"
    both = {"production/tasks", "production/notes"}
    until_sync(lambda: {one["environment"] for one in github.deployments.values()} == both, what="their deployments")

    broken = told.commit({"services/tasks/router.py": NOTHING})
    told.sync()
    bad = {"reconciler/tasks": "failure", "reconciler/sync": "failure"}
    until_sync(lambda: latest(github, broken) == bad, what="the broken commit's statuses")
    assert github.latest(broken)["reconciler/tasks"][1].startswith("ImportFailed: ModuleNotFoundError")
    assert len(github.deployments) == 2, "what failed was never deployed"

    until_sync(lambda: is_as_shown(received(github, broken), shown("fails")), what="all that the page shows")

    good_one = told.commit(service("tasks", "2"))
    told.sync()
    until_sync(lambda: latest(github, good_one).get("reconciler/sync") == "success", what="the good commit's statuses")
    until_sync(lambda: active(github) >= {good_one}, what="its deployment")
    until_sync(lambda: is_as_shown(received(github, good_one), shown("deploys")), what="all that the page shows")

    github.refusals = [(429, {"retry-after": "0"}, {"message": "slow down"})]
    mended = told.commit(service("tasks", "3"))
    told.sync()
    until_sync(lambda: latest(github, mended).get("reconciler/sync") == "success", what="the mended commit's statuses")
    assert told.control.post("/v1/services/tasks/rollback").status_code == 200
    until_sync(lambda: latest(github, mended).get("reconciler/tasks") == "failure", what="the rollback, on the new")
    until_sync(lambda: latest(github, first)["reconciler/tasks"] == "success", what="the rollback, on the old")
    until_sync(lambda: mended not in active(github), what="the deployment of the old one")
    assert first in active(github)

    unfit = told.commit({"services.yaml": f"{PLATFORM}mountt: /x\n"})
    told.sync()
    until_sync(lambda: latest(github, unfit) == {"reconciler/sync": "failure"}, what="a commit nobody can follow")
    assert "there is no field `mountt`" in github.latest(unfit)["reconciler/sync"][1]


def test_a_forge_that_was_away_hears_how_things_stand(told: Platform, github: GitHub) -> None:
    until_sync(lambda: latest(github, told.repository.head()).get("reconciler/sync") == "success", what="the first")
    github.refusals = [(503, {}, {})] * 3
    told.commit({"services/tasks/router.py": NOTHING})
    told.sync()
    sha = told.commit(service("tasks", "2"))
    told.sync()
    # Whoever dies with words unsaid has a successor that says them.
    told.kill("control")
    until_sync(told.is_ready, within=30, what="control")
    github.refusals = []
    until_sync(lambda: latest(github, sha).get("reconciler/tasks") == "success", within=20, what="the newest state")
    assert told.version("tasks") == "2"
    assert github.latest(sha)["reconciler/tasks"][1] == "live at /api/tasks/"
    addresses = [one.get("environment_url", "") for one in github.deployments.values() if one["sha"] == sha]
    assert [address.endswith("/api/tasks/") for address in addresses] == [True]
