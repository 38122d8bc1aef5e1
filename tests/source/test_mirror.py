"""Following a branch: what is fetched, what is not, and what a source in trouble never costs."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.failure import Reason, Wait
from reconciler.model.names import ObjectId, Revision
from reconciler.source import mirror as mirrors
from reconciler.source.mirror import Mirror
from tests.source.mirrors import TASKS, content, following
from tests.source.repositories import Repository, git


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


def test_fetches_at_the_same_time_take_turns(repository: Repository, place: Path) -> None:
    sha = repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        revisions = await asyncio.gather(*(mirror.fetch() for _ in range(4)), return_exceptions=True)
        assert revisions == [Revision("main", sha)] * 4

    following(repository.folder, place, scenario)
