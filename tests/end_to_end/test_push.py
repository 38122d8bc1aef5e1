"""`git push` is a deploy: what the pusher sees, what is declined, and what is none of the server's business."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.platform import Platform
from tests.end_to_end.pushing import begin_push, git, hosted, push, ref, remote
from tests.end_to_end.samples import PLATFORM, service
from tests.waiting import until_sync

SUITE = "version: 1\ncases:\n  - name: says its version\n    GET: /version\n    expect: {status: 200}\n"
WRONG_SUITE = SUITE.replace("status: 200", "status: 418")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Platform]:
    """A server that hosts its repository, with a first push."""
    with Platform(tmp_path_factory.mktemp("pushed"), template, receives=True) as made:
        made.start()
        said = str(made.status()["source"]["condition"]["message"])
        assert "Nothing has been pushed to main yet" in said
        assert f"http://127.0.0.1:{made.control_port}/git/services.git" in said
        made.commit({"services.yaml": PLATFORM, **service("steady")})
        assert push(made).code == 0
        yield made


def test_when_the_prompt_is_back_the_service_is_live(server: Platform) -> None:
    server.commit({**service("tasks", "1"), "services/tasks/tests.yaml": SUITE})
    pushed = push(server)
    assert server.version("tasks") == "1"
    assert pushed.code == 0, pushed.said
    told = pushed.remote.splitlines()
    assert "1 to do, 1 to keep" in told[1]
    assert told[2].split() == ["start", "tasks", "new"]
    assert "-----> tasks: starting" in told
    assert re.search(r"tasks: 1 of 1 cases passed in \d+\.\d\d s$", pushed.remote, re.M)
    assert f"-----> tasks is live at http://127.0.0.1:{server.port}/api/tasks/" in told
    assert told[-1].startswith("-----> Done in")

    def newest() -> tuple[str, str]:
        sync = server.control.get("/v1/syncs", params={"limit": 1}).json()["items"][0]
        return sync["trigger"], sync["state"]

    until_sync(lambda: newest() == ("push", "done"), what="the end of the sync, which nobody need sit before")


def test_what_was_pushed_can_be_cloned_and_fetched(server: Platform, tmp_path: Path) -> None:
    assert git(tmp_path, "clone", "--quiet", remote(server), "copy").code == 0
    assert git(tmp_path / "copy", "rev-parse", "HEAD").said.strip() == ref(server)
    server.commit({"notes.txt": "nothing of a service"})
    assert push(server).code == 0
    assert git(tmp_path / "copy", "pull", "--quiet", "--ff-only").code == 0
    assert (tmp_path / "copy" / "notes.txt").exists()


def test_a_mistake_is_declined_by_git_itself_before_the_branch_moves(server: Platform) -> None:
    before, version = ref(server), server.version("steady")
    good = server.repository.git("rev-parse", "HEAD")
    server.commit(
        {
            **service("steady", "declined", manifest="drian: 5s\n"),
            "services/quiet/service.yaml": "version: 1\ndrain: soon\n",
            "services/quiet/tests.yaml": "version: 1\ncases:\n  - {name: a, GET: /, expcet: {}}\n",
        }
    )
    pushed = push(server)
    assert pushed.code == 1
    assert " ! [remote rejected] main -> main (pre-receive hook declined)" in pushed.lines
    for place in ("services/steady/service.yaml:2:1", "services/quiet/service.yaml:2:8", "services/quiet/tests.yaml:3"):
        assert place in pushed.remote, pushed.remote
    assert "help: did you mean `drain`?" in pushed.remote
    assert (ref(server), server.version("steady")) == (before, version)
    server.repository.git("reset", "--quiet", "--hard", good)


def test_a_broken_platform_file_and_an_empty_one_are_declined(server: Platform) -> None:
    good = server.repository.git("rev-parse", "HEAD")
    server.commit({"services.yaml": "version: 1\nmuont: /x\n"})
    declined = push(server)
    assert (declined.code, "services.yaml:2:1" in declined.remote) == (1, True), declined.said
    server.repository.git("reset", "--quiet", "--hard", good)
    server.commit({"services": None})
    declined = push(server)
    assert (declined.code, "allow_empty" in declined.remote) == (1, True), declined.said
    server.repository.git("reset", "--quiet", "--hard", good)
    assert server.version("steady") == "1"


def test_a_release_that_fails_is_said_clearly_although_the_branch_has_moved(server: Platform) -> None:
    server.commit({**service("sour", "1"), "services/sour/tests.yaml": SUITE})
    assert push(server).code == 0
    sha = server.commit({**service("sour", "2"), "services/sour/tests.yaml": WRONG_SUITE})
    pushed = push(server)
    assert (pushed.code, ref(server), server.version("sour")) == (0, sha, "1")
    assert " !     sour: TestsFailed: 0 of 1 cases passed" in pushed.remote
    assert "services/sour/tests.yaml:5" in pushed.remote
    assert "its suite did not pass in " in pushed.remote
    assert pushed.remote.splitlines()[-1] == (
        " !     Not everything is live. The branch has moved; what served goes on serving."
    )
    server.commit({"services/sour": None})
    gone = push(server)
    assert "-----> sour is gone" in gone.remote, gone.said


def test_a_traceback_comes_with_its_file_and_line(server: Platform) -> None:
    server.commit({"services/torn/service.yaml": "version: 1\n", "services/torn/router.py": "import nothing_like_it\n"})
    pushed = push(server)
    assert (pushed.code, "ImportFailed" in pushed.remote) == (0, True)
    assert "services/torn/router.py:1" in pushed.remote
    server.commit({"services/torn": None})
    assert push(server).code == 0


@pytest.mark.parametrize(
    ("option", "last"), [("none", "Sync"), ("plan", "replace steady"), ("live", "Done in")], ids=str
)
def test_a_pusher_chooses_how_long_to_wait(server: Platform, option: str, last: str) -> None:
    server.commit(service("steady", f"waited-{option}"))
    pushed = push(server, f"--push-option=wait={option}")
    assert (pushed.code, last in pushed.remote.splitlines()[-1]) == (0, True), pushed.said
    until_sync(lambda: server.version("steady") == f"waited-{option}", what="the release")


def test_a_wish_that_is_not_understood_is_declined_and_a_foreign_option_ignored(server: Platform) -> None:
    server.commit({"notes.txt": "another note"})
    declined = push(server, "--push-option=wait=forever")
    assert (declined.code, "say wait=none, wait=plan or wait=live" in declined.remote) == (1, True)
    assert push(server, "--push-option=ci.skip").code == 0


def test_other_branches_and_tags_are_kept_and_ignored(server: Platform) -> None:
    syncs = server.control.get("/v1/syncs").json()["total"]
    server.repository.git("tag", "--force", "v1")
    pushed = push(server, "main:feature/x", "v1")
    assert pushed.code == 0, pushed.said
    assert "feature/x is kept; only main is deployed" in pushed.remote
    assert "refs/tags/v1 is kept" in pushed.remote
    assert ref(server, "refs/heads/feature/x") == ref(server)
    assert push(server, ":feature/x").code == 0
    assert ref(server, "refs/heads/feature/x") == ""
    assert server.control.get("/v1/syncs").json()["total"] == syncs


def test_a_tag_in_the_place_of_a_commit_is_declined_and_says_what_to_push(server: Platform) -> None:
    server.repository.git("tag", "--force", "--annotate", "-m", "One", "v1")
    pushed = push(server, "v1:main", "--force")
    assert (pushed.code, "is no commit" in pushed.remote, "damaged" in pushed.remote) == (1, True, False), pushed.said
    assert push(server, "v1^{}:main").code == 0


def test_the_branch_is_not_deleted(server: Platform) -> None:
    before = ref(server)
    pushed = push(server, ":main")
    assert (pushed.code, ref(server)) == (1, before)
    assert "main is what runs here, and is not deleted" in pushed.remote
    assert server.version("steady") != 404


@pytest.mark.parametrize("name", ["refs/replace/0123456789012345678901234567890123456789", "refs/meta/config"])
def test_what_is_neither_a_branch_nor_a_tag_is_declined(server: Platform, name: str) -> None:
    pushed = push(server, f"main:{name}")
    assert (pushed.code, "neither a branch nor a tag" in pushed.remote) == (1, True)
    assert ref(server, name) == ""


def test_a_rewritten_history_is_followed_and_said(server: Platform) -> None:
    server.commit(service("steady", "before"))
    assert push(server).code == 0
    old = ref(server)
    server.repository.git("reset", "--quiet", "--hard", "HEAD~1")
    new = server.commit(service("steady", "after"))
    assert push(server).code == 1, "git wants --force for that"
    assert push(server, "--force").code == 0
    assert server.version("steady") == "after"
    until_sync(lambda: f"main was rewritten: {old[:8]} -> {new[:8]}" in server.said(), what="the event")


def test_nothing_new_is_nothing_to_do(server: Platform) -> None:
    assert "Everything up-to-date" in push(server).said


def test_of_two_pushes_at_once_one_wins_and_is_what_runs(server: Platform, tmp_path: Path) -> None:
    base = server.repository.git("rev-parse", "HEAD")
    others = [service("steady", f"rival-{number}") for number in range(2)]
    for number, files in enumerate(others):
        server.repository.git("checkout", "--quiet", "-B", f"rival-{number}", base)
        server.commit(files)
    pushes = [begin_push(server, f"rival-{number}:main") for number in range(2)]
    codes = [process.wait(60) for process in pushes]
    for process in pushes:
        process.communicate()
    server.repository.git("checkout", "--quiet", "main")
    assert sorted(codes) == [0, 1]
    winner = codes.index(0)
    assert ref(server) == server.repository.git("rev-parse", f"rival-{winner}")
    assert server.version("steady") == f"rival-{winner}"
    server.repository.git("reset", "--quiet", "--hard", f"rival-{winner}")


def test_a_commit_that_is_malformed_is_refused(server: Platform) -> None:
    tree = server.repository.git("rev-parse", "HEAD^{tree}")
    text = f"tree {tree}\nauthor nobody\n\nbad\n"
    made = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
        cwd=server.repository.path, input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    before = ref(server)
    pushed = push(server, "--force", f"{made.stdout.strip()}:main")
    assert (pushed.code, ref(server)) == (1, before)
    assert "missingEmail" in pushed.said or "missingSpace" in pushed.said, pushed.said


def test_whoever_has_no_token_is_asked_for_one(server: Platform) -> None:
    for token in ("", "rcl_guessed"):
        pushed = push(server, token=token)
        assert pushed.code == 128
    assert "Authentication failed" in pushed.said or "could not read" in pushed.said
    assert git(hosted(server), "ls-remote", remote(server, token="")).code == 128


def test_a_server_that_follows_another_repository_says_where_to_push(shared: Platform) -> None:
    shared.commit({"notes.txt": "pushed to the wrong place"})
    pushed = git(shared.repository.path, "push", remote(shared), "main")
    assert pushed.code == 128
    assert f"This server follows {shared.repository.path}. Push there, and it follows." in pushed.remote
