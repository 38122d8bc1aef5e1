"""Following a branch: what is fetched, what survives a crash, and what a failure never does."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from reconciler.model.failure import Reason, Wait
from reconciler.model.names import ObjectId, Revision
from reconciler.source import mirror as mirrors
from reconciler.source.mirror import Bounds, Mirror
from reconciler.source.tree import Tree
from tests.source.repositories import Repository, git
from tests.source.servers import plain_files, silent
from tests.waiting import until, until_sync

T = TypeVar("T")
TASKS = "services/tasks/router.py"


def following(
    source: Path | str,
    place: Path,
    scenario: Callable[[Mirror], Awaitable[T]],
    *,
    branch: str = "main",
    **bounds: float,
) -> T:
    async def play() -> T:
        mirror = Mirror(source, branch, place, bounds=Bounds(**bounds))  # type: ignore[arg-type]
        try:
            await mirror.open()
            return await scenario(mirror)
        finally:
            await mirror.close()

    return asyncio.run(play())


def content(tree: Tree) -> bytes | None:
    return tree.blob(TASKS, 1000)


def test_a_fetch_brings_the_branch_as_it_is_now(repository: Repository, place: Path) -> None:
    async def scenario(mirror: Mirror) -> None:
        for text in (b"one", b"two"):
            sha = repository.push({TASKS: text})
            assert await mirror.latest() == sha
            assert await mirror.fetch() == Revision("main", sha)
            assert content(mirror.tree(sha)) == text
        assert mirror.tip == sha
        assert await mirror.fetch() == Revision("main", sha)

    following(repository.folder, place, scenario)


def test_a_mirror_opened_again_knows_what_it_has_without_the_source(repository: Repository, place: Path) -> None:
    sha = repository.push({TASKS: b"one"})

    async def fetch(mirror: Mirror) -> Revision:
        return await mirror.fetch()

    async def look(mirror: Mirror) -> None:
        assert mirror.tip == sha
        assert content(mirror.tree(sha)) == b"one"

    following(repository.folder, place, fetch)
    repository.folder.rename(repository.folder.with_name("gone.git"))
    following(repository.folder, place, look)


def test_a_work_tree_is_followed_by_its_path(tmp_path: Path, place: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=topic/one")
    (work / "router.py").write_text("router = 1\n")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message=First")

    async def scenario(mirror: Mirror) -> None:
        revision = await mirror.fetch()
        assert str(revision) == f"topic/one@sha1:{git(work, 'rev-parse', 'HEAD')}"
        assert mirror.tree(revision.sha).blob("router.py", 100) == b"router = 1\n"

    following(work, place, scenario, branch="topic/one")


@pytest.mark.parametrize("depth", [1, 60], ids=["by a little", "beyond what was fetched at first"])
def test_g18_a_forced_push_is_followed_and_the_old_commit_stays(
    repository: Repository, place: Path, depth: int
) -> None:
    base = repository.push({TASKS: b"base"})
    for number in range(depth):
        old = repository.push({TASKS: f"old {number}".encode()})

    async def scenario(mirror: Mirror) -> None:
        rewritten: list[tuple[ObjectId, ObjectId]] = []
        mirror.on_rewritten = lambda *moved: rewritten.append(moved)
        assert (await mirror.fetch()).sha == old
        repository.point(base)
        new = repository.push({TASKS: b"new"})
        assert (await mirror.fetch()).sha == new
        assert rewritten == [(old, new)]
        repository.push({TASKS: b"newer"})
        await mirror.fetch()
        assert rewritten == [(old, new)], "once, and not for what only goes on"
        assert content(mirror.tree(new)) == b"new"
        assert content(mirror.tree(old)) == f"old {depth - 1}".encode()

    following(repository.folder, place, scenario)


def test_history_that_has_nothing_in_common_is_followed(repository: Repository, place: Path) -> None:
    repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        sha = repository.commit(repository.folder_of({TASKS: b"other"}), parent=None)
        assert content(mirror.tree((await mirror.fetch()).sha)) == b"other"
        assert mirror.tip == sha

    following(repository.folder, place, scenario)


def test_the_first_fetch_is_shallow_and_later_ones_bring_the_range(repository: Repository, place: Path) -> None:
    for number in range(80):
        repository.push({TASKS: str(number).encode()})

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        assert len(git(place, "rev-list", mirrors.TIP).split()) == mirrors.FIRST_DEPTH
        for number in range(5):
            repository.push({TASKS: f"more {number}".encode()})
        await mirror.fetch()
        assert len(git(place, "rev-list", mirrors.TIP).split()) == mirrors.FIRST_DEPTH + 5

    following(repository.folder, place, scenario)


def test_a_shallow_clone_is_followed(repository: Repository, tmp_path: Path, place: Path) -> None:
    for number in range(5):
        repository.push({TASKS: str(number).encode()})
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository.folder}", str(clone))

    async def scenario(mirror: Mirror) -> None:
        assert content(mirror.tree((await mirror.fetch()).sha)) == b"4"
        (clone / TASKS).write_text("5")
        git(clone, "commit", "--quiet", "--all", "--message=More")
        assert content(mirror.tree((await mirror.fetch()).sha)) == b"5"

    following(clone, place, scenario)


def test_g14_only_the_branch_that_is_followed_is_fetched(repository: Repository, place: Path) -> None:
    sha = repository.push({TASKS: b"one"})
    other = Repository.commit_object(repository, b"tree " + repository.folder_of({"x": b"x"}).encode() + b"\n\nx\n")
    packed = "".join(f"{other} refs/heads/other-{number}\n{other} refs/tags/t{number}\n" for number in range(2_000))
    (repository.folder / "packed-refs").write_text(packed)

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        assert git(place, "for-each-ref", "--format=%(objectname) %(refname)") == f"{sha} {mirrors.TIP}"
        with pytest.raises(Wait):
            mirror.tree(ObjectId(other))

    following(repository.folder, place, scenario)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        pytest.param(lambda r: r.folder.rename(r.folder.with_name("x")), "not a git repository", id="it is gone"),
        pytest.param(
            lambda r: (r.folder / "refs/heads/main").unlink(), "no commit yet", id="G-19 its branch is deleted"
        ),
        pytest.param(lambda r: (r.folder / "HEAD").unlink(), "not a git repository", id="G-20 it is no repository"),
    ],
)
def test_what_cannot_be_read_is_unavailable_and_what_was_fetched_stays(
    repository: Repository, place: Path, harm: Callable[[Repository], object], says: str
) -> None:
    sha = repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        harm(repository)
        with pytest.raises(Wait, match=says) as caught:
            await mirror.fetch()
        assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
        assert (mirror.tip, content(mirror.tree(sha))) == (sha, b"one")

    following(repository.folder, place, scenario)


def test_g20_an_empty_repository_is_waited_for_and_then_followed(repository: Repository, place: Path) -> None:
    async def scenario(mirror: Mirror) -> None:
        assert await mirror.latest() is None
        with pytest.raises(Wait, match="no commit yet"):
            await mirror.fetch()
        sha = repository.push({TASKS: b"one"})
        assert (await mirror.latest(), (await mirror.fetch()).sha) == (sha, sha)

    following(repository.folder, place, scenario)


def test_g19_a_deleted_branch_is_told_as_not_there_and_an_unreachable_source_is_not(
    repository: Repository, place: Path
) -> None:
    repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        (repository.folder / "refs/heads/main").unlink()
        assert await mirror.latest() is None
        repository.folder.rename(repository.folder.with_name("gone.git"))
        with pytest.raises(Wait):
            await mirror.latest()

    following(repository.folder, place, scenario)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_repository_of_another_user_is_explained(repository: Repository, place: Path) -> None:
    repository.push({TASKS: b"one"})
    for path in (repository.folder, *repository.folder.rglob("*")):
        os.chown(path, 12345, 12345)

    async def scenario(mirror: Mirror) -> None:
        with pytest.raises(Wait, match="belongs to another user"):
            await mirror.fetch()

    following(repository.folder, place, scenario)


def test_a_source_with_sha256_names_is_explained(tmp_path: Path, place: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    git(work, "commit", "--quiet", "--allow-empty", "--message=First")

    async def scenario(mirror: Mirror) -> None:
        with pytest.raises(Wait, match="SHA-256"):
            await mirror.fetch()

    following(work, place, scenario)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda m: (m / "shallow.lock").write_text(""), id="a lock that a killed git left"),
        pytest.param(lambda m: (m / f"{mirrors.TIP}.lock").write_text(""), id="a lock of the reference"),
        pytest.param(lambda m: (m / "objects/pack/tmp_pack_x").write_bytes(b"x"), id="half a pack"),
        pytest.param(lambda m: (m / "HEAD").unlink(), id="no HEAD"),
        pytest.param(lambda m: (m / mirrors.TIP).write_text("nonsense"), id="a reference of nonsense"),
        pytest.param(lambda m: (m / mirrors.TIP).write_text("1" * 40), id="a reference to nothing"),
        pytest.param(lambda m: [pack.unlink() for pack in m.glob("objects/pack/*")], id="no packs"),
        pytest.param(
            lambda m: [(p.chmod(0o644), p.write_bytes(b"x" * 99)) for p in m.glob("objects/pack/*.pack")],
            id="packs of nonsense",
        ),
        pytest.param(lambda m: (m / "config").write_text("[core\n"), id="a configuration that cannot be parsed"),
        pytest.param(lambda m: m.rename(m.with_name("away")), id="no mirror at all"),
        pytest.param(lambda m: (m.rename(m.with_name("away")), m.write_text("x")), id="a file in its place"),
    ],
)
@pytest.mark.parametrize("opened_again", [True, False], ids=["at the next start", "while it runs"])
def test_whatever_happens_to_the_mirror_the_next_fetch_mends_it(
    repository: Repository, place: Path, harm: Callable[[Path], object], opened_again: bool
) -> None:
    repository.push({TASKS: b"one"})
    locks = "lock" in str(harm.__code__.co_consts)

    async def first(mirror: Mirror) -> None:
        await mirror.fetch()
        harm(place)
        if not opened_again and not locks:
            await again(mirror)

    async def again(mirror: Mirror) -> None:
        sha = repository.push({TASKS: b"two"})
        assert (await mirror.fetch()).sha == sha
        assert content(mirror.tree(sha)) == b"two"
        assert not list(place.rglob("*.lock"))
        assert sorted(path.name for path in place.parent.iterdir() if path.name != "away") == [
            "mirror.git", "upstream.git",
        ]  # fmt: skip

    following(repository.folder, place, first)
    if opened_again:
        following(repository.folder, place, again)


def test_damage_found_while_reading_is_mended_by_the_next_fetch(repository: Repository, place: Path) -> None:
    sha = repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        for pack in place.glob("objects/pack/*.pack"):
            pack.chmod(0o644)
            pack.write_bytes(pack.read_bytes()[:40] + b"\0" * 400)
        with pytest.raises(Wait):
            content(mirror.tree(sha))
        await mirror.fetch()
        assert content(mirror.tree(sha)) == b"one"

    following(repository.folder, place, scenario)


def test_many_fetches_do_not_leave_many_packs_and_trees_in_use_stay_readable(
    repository: Repository, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "MOST_PACKS", 4)

    async def scenario(mirror: Mirror) -> None:
        old = mirror.tree((await mirror.fetch()).sha)
        for number in range(8):
            repository.push({TASKS: str(number).encode(), "late.py": b"late"})
            await mirror.fetch()
        await until(lambda: len(list(place.glob("objects/pack/*.pack"))) <= 4, what="packs put together")
        assert content(old) == b"first"
        assert content(mirror.tree(mirror.tip or ObjectId(""))) == b"7"

    repository.push({TASKS: b"first"})
    following(repository.folder, place, scenario)


def test_fetches_at_the_same_time_take_turns(repository: Repository, place: Path) -> None:
    sha = repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        revisions = await asyncio.gather(*(mirror.fetch() for _ in range(4)), return_exceptions=True)
        assert revisions == [Revision("main", sha)] * 4

    following(repository.folder, place, scenario)


def test_a_fetch_that_is_cancelled_ends_git_and_its_children(repository: Repository, place: Path) -> None:
    async def scenario(mirror: Mirror) -> None:
        fetching = asyncio.create_task(mirror.fetch())
        await until(asked.is_set, what="git asking the server")
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert _commands_with(host) == []
        with pytest.raises(Wait, match="in time"):
            await mirror.latest()

    with silent() as (host, asked):
        following(f"http://{host}/a.git", place, scenario, latest_seconds=0.3)


def test_g23_a_server_that_never_answers_costs_the_time_allowed_and_no_more(place: Path) -> None:
    async def scenario(mirror: Mirror) -> None:
        ticks = 0
        fetching = asyncio.create_task(mirror.fetch())
        while not fetching.done():
            ticks += 1
            await asyncio.sleep(0.01)
        with pytest.raises(Wait, match="did not answer in time"):
            await fetching
        assert ticks > 5
        # What git had started is killed with it, and reaped by whoever gets to it.
        await until(lambda: _commands_with(host) == [], what="everything that git started to be gone")

    with silent() as (host, _):
        following(f"http://{host}/a.git", place, scenario, fetch_seconds=2.0)


def test_g34_a_token_is_sent_and_never_seen(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_TOKEN", "s3rver-s3cret")

    async def scenario(mirror: Mirror) -> None:
        fetching = asyncio.create_task(mirror.latest())
        await until(asked.is_set, what="git asking the server")
        assert _commands_with(host) != []
        assert _commands_with("t0ken") == []
        for environ in _environs_with(host):
            assert b"s3rver-s3cret" not in environ
        with pytest.raises(Wait) as caught:
            await fetching
        told = f"{caught.value.message} {caught.value.detail} {mirror.address}"
        assert "t0ken" not in told
        assert "t0ken" not in (place / "config").read_text()

    with silent() as (host, asked):
        following(f"http://me:t0ken@{host}/a.git", place, scenario, latest_seconds=5.0)


@pytest.mark.parametrize("userinfo", ["", "me:t0ken@"], ids=["open to all", "with a token"])
def test_g37_a_server_that_cannot_give_a_part_of_the_history_is_asked_for_all(
    repository: Repository, place: Path, userinfo: str
) -> None:
    sha = repository.push({TASKS: b"one"})
    git(repository.folder, "update-server-info")
    seen: list[str | None] = []

    async def scenario(mirror: Mirror) -> None:
        assert await mirror.latest() == sha
        assert (await mirror.fetch()).sha == sha
        assert content(mirror.tree(sha)) == b"one"

    with plain_files(repository.folder, seen) as host:
        following(f"http://{userinfo}{host}/", place, scenario)
    assert set(seen) == {"Basic bWU6dDBrZW4=" if userinfo else None}


def test_git_is_told_where_it_is_by_nobody_else(
    repository: Repository, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may be started by a git hook, or by somebody whose configuration does surprising things."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "{tmp_path}/elsewhere"]\n\tinsteadOf = {repository.folder}\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_SSH_COMMAND", "touch /nonexistent")
    sha = repository.push({TASKS: b"one"}, "Say what was done")

    async def scenario(mirror: Mirror) -> None:
        assert (await mirror.fetch()).sha == sha
        assert mirror.commit(sha).subject == "Say what was done"

    following(repository.folder, place, scenario)


def test_without_git_the_remedy_is_to_install_it(
    repository: Repository, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    async def scenario() -> None:
        mirror = Mirror(repository.folder, "main", place)
        with pytest.raises(Wait, match="install git"):
            await mirror.open()
        await mirror.close()

    asyncio.run(scenario())


def test_a_commit_is_presented(repository: Repository, place: Path) -> None:
    sha = repository.push({TASKS: b"one"}, "Add tasks\n\nBecause they were missing.")

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        commit = mirror.commit(sha)
        assert (commit.sha, commit.author, commit.subject) == (sha, "Ada", "Add tasks")
        assert commit.at == datetime.fromtimestamp(1763640000, UTC)

    following(repository.folder, place, scenario)


@pytest.mark.parametrize(
    ("headers", "message", "subject"),
    [
        pytest.param(b"", b"\x1b[2Jred\x07\r\n\nbody", "[2Jred", id="escape sequences"),
        pytest.param(b"", "a\u202eb\u200bc".encode(), "abc", id="invisible characters"),
        pytest.param(b"", b"\xff\xfe bytes", "\ufffd\ufffd bytes", id="bytes that are no text"),
        pytest.param(b"", b"x" * 10_000, "x" * 200, id="a long line"),
        pytest.param(b"", b"", "", id="nothing"),
        pytest.param(b"encoding latin-1\n", b"caf\xe9", "caf\ufffd", id="an encoding other than UTF-8"),
        pytest.param(b"encoding zip\n", b"subject", None, id="an encoding that is none"),
        pytest.param(b"encoding rot13\n", b"subject", None, id="an encoding that makes no text"),
    ],
)
def test_no_commit_can_do_harm_by_what_it_says(
    repository: Repository, place: Path, headers: bytes, message: bytes, subject: str | None
) -> None:
    tree = repository.folder_of({TASKS: b"one"}).encode()
    who = b"Ada\x1b[1m <a@example.com> 1763640000 +0000"
    data = b"tree %b\nauthor %b\ncommitter %b\n%b\n%b" % (tree, who, who, headers, message)
    sha = ObjectId(repository.commit_object(data))
    repository.point(sha)

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        commit = mirror.commit(sha)
        assert commit.sha == sha
        assert commit.author in ("Ada[1m", "")
        assert subject is None or commit.subject == subject
        assert (commit.author + commit.subject).isprintable()
        assert mirror.commit(sha) is commit

    following(repository.folder, place, scenario)


def test_reading_a_commit_leaves_no_process_behind(repository: Repository, place: Path) -> None:
    sha = repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        mirror.commit(sha)

    before = _children()
    following(repository.folder, place, scenario)
    assert _children() <= before


def _children() -> set[str]:
    """Of this process; other tests may have left some that nobody has waited for."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(listed.read_text().split()) if listed.exists() else set()


KILLED = """
import asyncio, sys
from pathlib import Path
from reconciler.source.mirror import Mirror

async def main() -> None:
    mirror = Mirror(sys.argv[1], "main", Path(sys.argv[2]))
    await mirror.open()
    print("open", flush=True)
    while True:
        await mirror.fetch()

asyncio.run(main())
"""


def test_kill_minus_nine_in_the_middle_of_fetches_does_no_harm(repository: Repository, place: Path) -> None:
    repository.push({TASKS: b"one"})
    command = [sys.executable, "-c", KILLED, str(repository.folder), str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        child.kill()
    # Its git outlives it for a moment, and brings what it was asked for.
    until_sync(lambda: not _commands_with(str(place)), what="the end of what it began")

    async def scenario(mirror: Mirror) -> None:
        sha = repository.push({TASKS: b"two"})
        assert (await mirror.fetch()).sha == sha
        assert content(mirror.tree(sha)) == b"two"

    following(repository.folder, place, scenario)


def _commands_with(word: str) -> list[bytes]:
    return [command for command, _ in _processes() if word.encode() in command and b"git" in command]


def _environs_with(word: str) -> list[bytes]:
    return [environ for command, environ in _processes() if word.encode() in command and b"git" in command]


def _processes() -> list[tuple[bytes, bytes]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.append(((folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()))
        except OSError:
            continue
    return found
