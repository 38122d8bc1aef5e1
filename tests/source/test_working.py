"""A folder that somebody works in, read as the commit it would make."""

import os
from pathlib import Path

import pytest

from reconciler.model.failure import Stalled
from reconciler.source.working import WorkingTree
from tests.source.repositories import git


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with one commit."""
    root = tmp_path / "work"
    (root / "apps" / "shop" / "services" / "tasks").mkdir(parents=True)
    (root / "apps" / "shop" / "services" / "tasks" / "router.py").write_text("old\n")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "begin")
    return root


def test_it_has_the_ids_that_git_would_give(folder: Path, tmp_path: Path) -> None:
    working = WorkingTree.take(folder, tmp_path / "place")
    assert working.tree().id == git(folder, "rev-parse", "HEAD^{tree}")
    assert (sha := working.at("HEAD")) is not None
    assert working.tree(sha).id == working.tree().id


def test_changes_count_and_what_git_ignores_does_not(folder: Path, tmp_path: Path) -> None:
    place = folder / "apps" / "shop" / "services"
    (place / "tasks" / "router.py").write_text("new\n")
    (place / "tasks" / "untracked.py").write_text("")
    (place / "tasks" / "ignored.pyc").write_text("")
    (folder / ".gitignore").write_text("*.pyc\n")
    (place / "tasks" / "link.py").symlink_to("router.py")
    tree = WorkingTree.take(folder, tmp_path / "place").tree()
    files = {file.path.rpartition("/")[2] for file in tree.files("apps/shop/services/tasks")}
    assert files == {"router.py", "untracked.py", "link.py"}
    assert tree.blob("apps/shop/services/tasks/link.py", 100) == b"new\n"


def test_a_change_within_the_tick_of_the_last_commit_is_seen(folder: Path, tmp_path: Path) -> None:
    """Same size, same moment: git knows such files by the time of its index, which a copy must keep."""
    file = folder / "apps" / "shop" / "services" / "tasks" / "router.py"
    moment = file.stat().st_mtime_ns
    file.write_text("OLD\n")
    os.utime(file, ns=(moment, moment))
    os.utime(folder / ".git" / "index", ns=(moment, moment))
    tree = WorkingTree.take(folder, tmp_path / "place").tree()
    assert tree.blob("apps/shop/services/tasks/router.py", 100) == b"OLD\n"


def test_a_folder_below_is_a_tree_of_its_own(folder: Path, tmp_path: Path) -> None:
    shop = folder / "apps" / "shop"
    (shop / "services" / "more").mkdir()
    (shop / "services" / "more" / "router.py").write_text("")
    working = WorkingTree.take(shop, tmp_path / "place")
    assert set(working.tree().folders("services/*")) == {"services/more", "services/tasks"}
    assert (sha := working.at("main")) is not None
    assert set(working.tree(sha).folders("services/*")) == {"services/tasks"}


def test_what_a_commit_did_not_hold_yet_is_empty(folder: Path, tmp_path: Path) -> None:
    (folder / "fresh" / "services").mkdir(parents=True)
    working = WorkingTree.take(folder / "fresh", tmp_path / "place")
    assert working.tree().folders("services/*") == {}
    assert (sha := working.at("HEAD")) is not None
    assert working.tree(sha).folders("*") == {}
    assert working.at("nonsense") is None
    assert working.at("--help") is None


def test_a_folder_without_git_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "plain" / "services" / "tasks").mkdir(parents=True)
    (tmp_path / "plain" / "services" / "tasks" / "router.py").write_text("router = None\n")
    working = WorkingTree.take(tmp_path / "plain", tmp_path / "place")
    assert working.tree().blob("services/tasks/router.py", 100) == b"router = None\n"
    assert working.at("HEAD") is None
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == ["services"]


def test_a_damaged_repository_is_told_in_gits_words(folder: Path, tmp_path: Path) -> None:
    (folder / ".git" / "HEAD").write_text("nonsense\n")
    with pytest.raises(Stalled, match="git cannot tell what the folder holds"):
        WorkingTree.take(folder, tmp_path / "place")


def test_the_variables_of_a_hook_lead_nowhere_else(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` may run in a hook, where git has said where its index is."""
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert WorkingTree.take(folder, tmp_path / "place").tree().folders("apps/*") != {}
