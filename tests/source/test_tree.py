"""What a tree tells about its folders, and how a service's files get onto the disk."""

from pathlib import Path

import pygit2
import pytest

from reconciler.model.failure import Stalled, Wait
from reconciler.model.names import ObjectId
from reconciler.source.listing import Entry
from reconciler.source.objects import Objects
from reconciler.source.tree import Tree
from tests.source.repositories import Repository, Row, link

FILES: dict[str, bytes | Row] = {
    "services.yaml": b"version: 1\n",
    "services/tasks/router.py": b"router = 1\n",
    "services/tasks/lib/deep.py": b"deep = 1\n",
    "services/reports/router.py": b"router = 2\n",
    "services/README.md": b"not a service\n",
    "services/.hidden/router.py": b"router = 3\n",
    "apps/shop/api/router.py": b"router = 4\n",
    "apps/shop/web/index.html": b"<html>\n",
    "apps/blog/api/router.py": b"router = 5\n",
    "shared/db.py": b"db = 1\n",
    "shared/cache.py": b"cache = 1\n",
    "shared/models/user.py": b"user = 1\n",
}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("services/*", ["services/reports", "services/tasks"], id="every folder below one"),
        pytest.param("services/t*", ["services/tasks"], id="part of a name"),
        pytest.param("services/[rt]*s", ["services/reports", "services/tasks"], id="a set of letters"),
        pytest.param("apps/*/api", ["apps/blog/api", "apps/shop/api"], id="a wildcard in the middle"),
        pytest.param("services/tasks", ["services/tasks"], id="one folder by its name"),
        pytest.param("/services//tasks/", ["services/tasks"], id="slashes too many"),
        pytest.param("**/api", ["apps/blog/api", "apps/shop/api"], id="any depth"),
        pytest.param("services/.hidden", ["services/.hidden"], id="a hidden folder by its name only"),
        pytest.param("services/README.md", [], id="a file is no folder"),
        pytest.param("nothing/*", [], id="below what is not there"),
        pytest.param("services/README.md/*", [], id="below a file"),
        pytest.param("../*", [], id="outside"),
        pytest.param("services/../services/*", [], id="through the outside"),
    ],
)
def test_folders(repository: Repository, pattern: str, found: list[str]) -> None:
    assert sorted(repository.look_at(FILES).folders(pattern)) == found


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("shared", ["shared"], id="a folder"),
        pytest.param("shared/*", ["shared/cache.py", "shared/db.py", "shared/models"], id="what is in it"),
        pytest.param("shared/**", ["shared"], id="all that is below it"),
        pytest.param("shared/**/*.py", ["shared/cache.py", "shared/db.py", "shared/models/user.py"], id="files below"),
        pytest.param("services.yaml", ["services.yaml"], id="a file"),
        pytest.param("missing.py", [], id="nothing"),
    ],
)
def test_matches(repository: Repository, pattern: str, found: list[str]) -> None:
    assert sorted(repository.look_at(FILES).matches(pattern)) == found


def test_an_id_changes_exactly_when_what_is_below_changes(repository: Repository) -> None:
    before = repository.look_at(FILES)
    after = repository.look_at({**FILES, "services/tasks/lib/deep.py": b"deep = 2\n"})
    assert before.object_id("services/tasks") != after.object_id("services/tasks")
    assert before.object_id("services/reports") == after.object_id("services/reports")
    assert before.object_id("shared") == after.matches("shared/**")["shared"]
    assert before.object_id("") == before.id != after.id
    assert before.object_id("services/nothing") is None
    assert before.object_id("services/../shared") is None


def test_five_thousand_folders_are_one_listing(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = repository.folder_of({"router.py": b"router = 1\n"})
    services = repository.tree([("40000", f"s{number}".encode(), inside) for number in range(5_000)])
    sha = repository.commit(repository.tree([("40000", b"services", services)]))
    read: list[bytes] = []
    listing = Objects.entries

    def counted(objects: Objects, tree: bytes) -> dict[bytes, Entry]:
        read.append(tree)
        return listing(objects, tree)

    monkeypatch.setattr(Objects, "entries", counted)
    tree = repository.look(sha)
    assert len(tree.folders("services/*")) == 5_000
    assert len(tree.folders("services/*")) == 5_000
    assert len(read) == 2


def test_a_blob_is_read_up_to_its_limit(repository: Repository) -> None:
    tree = repository.look_at(FILES)
    assert tree.blob("services.yaml", 100) == b"version: 1\n"
    assert tree.blob("services.yml", 100) is None
    assert tree.blob("services", 100) is None
    with pytest.raises(Stalled) as caught:
        tree.blob("services.yaml", 10)
    (problem,) = caught.value.problems
    assert (problem.code, problem.file) == ("file-too-large", "services.yaml")


def test_a_blob_behind_a_link_is_read_inside_the_repository_only(repository: Repository) -> None:
    tree = repository.look_at(
        {
            **FILES,
            "services/tasks/service.yaml": link("service.yaml", b"../../services.yaml", repository),
            "services/tasks/tests.yaml": link("tests.yaml", b"/etc/passwd", repository),
        }
    )
    assert tree.blob("services/tasks/service.yaml", 100) == b"version: 1\n"
    with pytest.raises(Stalled) as caught:
        tree.blob("services/tasks/tests.yaml", 100)
    assert [problem.code for problem in caught.value.problems] == ["symlink-outside"]


def test_files_are_listed_and_written_in_the_repositorys_layout(repository: Repository, tmp_path: Path) -> None:
    tree = repository.look_at(
        {
            **FILES,
            "services/tasks/run.sh": ("100755", b"run.sh", repository.blob(b"#!/bin/sh\n")),
            "services/tasks/db.py": link("db.py", b"../../shared/db.py", repository),
            "services/tasks/empty.py": b"",
        }
    )
    watched = tuple(tree.matches("shared/*"))
    assert [file.path for file in tree.files("services/tasks", watched)] == [
        "services/tasks/db.py",
        "services/tasks/empty.py",
        "services/tasks/lib/deep.py",
        "services/tasks/router.py",
        "services/tasks/run.sh",
        "shared/cache.py",
        "shared/db.py",
        "shared/models/user.py",
    ]
    code = tree.write("services/tasks", tmp_path / "tasks-1", watched)
    assert code == tmp_path / "tasks-1/services/tasks"
    assert (code / "db.py").is_symlink()
    assert (code / "db.py").read_bytes() == b"db = 1\n"
    assert (code / "lib/deep.py").read_bytes() == b"deep = 1\n"
    modes = {path.name: path.stat().st_mode & 0o7777 for path in code.iterdir() if path.is_file()}
    assert modes == {"db.py": 0o644, "empty.py": 0o644, "router.py": 0o644, "run.sh": 0o755}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tasks-1", "upstream.git"]


def test_writing_again_replaces_what_a_crash_or_an_earlier_try_left(repository: Repository, tmp_path: Path) -> None:
    tree = repository.look_at(FILES)
    for left in (".tasks-1.partial", "tasks-1"):
        (tmp_path / left / "services").mkdir(parents=True)
        (tmp_path / left / "services" / "stale.py").write_text("stale")
    code = tree.write("services/tasks", tmp_path / "tasks-1")
    assert sorted(path.name for path in (tmp_path / "tasks-1/services").iterdir()) == ["tasks"]
    assert (code / "router.py").read_bytes() == b"router = 1\n"
    assert not (tmp_path / ".tasks-1.partial").exists()


def test_what_cannot_be_written_leaves_nothing_and_says_why(repository: Repository, tmp_path: Path) -> None:
    tree = repository.look_at(FILES)
    (tmp_path / "releases").write_text("a file where a folder should be")
    with pytest.raises(Wait, match="could not be written"):
        tree.write("services/tasks", tmp_path / "releases" / "tasks-1")


def test_a_tree_notices_what_a_later_fetch_brought(repository: Repository) -> None:
    first = repository.look_at(FILES)
    assert first.files("services/tasks")
    second = repository.push({"services/tasks/router.py": b"router = 9\n"})
    assert repository.look(second).blob("services/tasks/router.py", 100) == b"router = 9\n"
    assert first.blob("services/reports/router.py", 100) == b"router = 2\n"


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_an_object_that_cannot_be_read_is_the_mirrors_trouble_and_no_deletion(
    repository: Repository, harm: str
) -> None:
    sha = repository.push(FILES)
    noticed: list[bool] = []
    tree = Tree(Objects(repository.folder, lambda: noticed.append(True)), sha)
    oid = tree.object_id("services/tasks/router.py")
    assert oid is not None
    loose = repository.folder / "objects" / oid[:2] / oid[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"not what it was") if harm == "damaged" else loose.unlink()
    with pytest.raises(Wait, match="missing or damaged"):
        tree.blob("services/tasks/router.py", 100)
    assert noticed == [True]


def test_a_commit_that_is_not_here_is_unavailable_and_no_damage(repository: Repository) -> None:
    noticed: list[bool] = []
    with pytest.raises(Wait, match="not in the mirror"):
        Tree(Objects(repository.folder, lambda: noticed.append(True)), ObjectId("1" * 40))
    assert noticed == []


def test_a_tree_that_is_no_tree_is_refused(repository: Repository) -> None:
    blob = repository.blob(b"x")
    tree = repository.look(repository.commit(repository.tree([("40000", b"services", blob)])))
    with pytest.raises(Wait):
        tree.folders("services/*")


def test_the_odb_of_pygit2_can_tell_a_size_without_the_content(repository: Repository) -> None:
    oid = repository.blob(b"x" * 1000)
    assert pygit2.Odb(str(repository.folder / "objects")).read_header(pygit2.Oid(hex=oid))[1] == 1000
