"""Reading what changed since the last commit, over any edits: the answer is that of reading everything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.control.gate import Shelf
from reconciler.control.reading import Reader
from reconciler.control.secrets import Secrets
from reconciler.control.veil import Veil
from reconciler.control.wanted import Reading, Unfit, Wanted, Wish
from reconciler.model.failure import Reason, Stalled, Wait
from reconciler.model.names import ObjectId, Revision, ServiceName
from reconciler.secrets import DotenvFiles
from reconciler.source import listing
from reconciler.source.tree import Tree
from tests.source.repositories import Repository

NOWHERE = Revision("main", ObjectId("0" * 40))

PLATFORMS = (
    b"version: 1\n",
    b"version: 1\noverrides: {a: {replicas: 2}, gone: {replicas: 2}}\n",
    b"version: 1\ndefaults: {suspend: true}\n",
    b"version: 1\nservices: apps/*\n",
    b"version: 1\nservices: '*/a'\n",
    b"version: 1\nservices: '*/*'\n",
    b"version: broken\n",
)
MANIFESTS = (
    b"version: 1\n",
    b"version: 1\nreplicas: 2\n",
    b"version: 1\nwatch: [shared/**]\n",
    b"version: 1\nwatch: [shared/one, apps/*]\n",
    b"version: 1\nsecrets: [{name: ONE, from: 'file:some.env'}]\n",
    b"version: 1\nsecrets: [{name: ONE, from: 'file:some.env'}, {name: TWO, from: 'file:some.env'}]\n",
    b"version: nonsense\n",
)
PLACES = ("services/a", "services/b", "services/B", "apps/a", "apps/c", "apps/deep/a")
SECRETS = ("", "ONE=1\n", "ONE=2\n", "ONE=1\nTWO=longer\n")


@dataclass(frozen=True)
class Commit:
    files: Mapping[str, bytes]
    secrets: str
    """What the operator's file holds at that moment."""


@st.composite
def commits(draw: st.DrawFn) -> list[Commit]:
    """Few edits from one to the next."""
    contents: dict[str, st.SearchStrategy[bytes | None]] = {
        "services.yaml": st.sampled_from((None, *PLATFORMS)),
        "shared/one": st.sampled_from((None, b"1", b"2")),
        **{f"{place}/service.yaml": st.sampled_from((None, *MANIFESTS)) for place in PLACES},
        **{f"{place}/router.py": st.sampled_from((None, b"1", b"2")) for place in PLACES},
    }
    files: dict[str, bytes] = {f"{place}/service.yaml": MANIFESTS[0] for place in PLACES[:2]}
    made: list[Commit] = []
    for _ in range(draw(st.integers(2, 6))):
        for path in draw(st.lists(st.sampled_from(sorted(contents)), max_size=3)):
            content = draw(contents[path])
            files = {one: text for one, text in files.items() if one != path}
            files |= {} if content is None else {path: content}
        made.append(Commit({**files, "README": b""}, draw(st.sampled_from(SECRETS))))
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("again")


@pytest.fixture(scope="module")
def repository(place: Path) -> Repository:
    return Repository(place / "upstream.git")


def alike(wishes: Mapping[ServiceName, Wish]) -> dict[ServiceName, Any]:
    """Without the commit in which each was last seen to change, which only who was there can say."""
    plain: dict[ServiceName, Any] = {}
    for name, wish in wishes.items():
        if isinstance(wish, Unfit):
            failure = wish.failure
            plain[name] = (wish.folder, wish.prefix, type(failure), failure.reason, failure.message, failure.problems)
        else:
            plain[name] = replace(wish, revision=NOWHERE)
    return plain


def told(reading: Reading) -> Any:
    return alike(reading.wishes), reading.mount, reading.prune, reading.misnamed, reading.warnings


@settings(deadline=None)
@given(commits())
def test_whatever_changes_reading_that_is_reading_everything(
    place: Path, repository: Repository, history: list[Commit]
) -> None:
    file = place / "some.env"
    reader, secrets = Reader(Shelf()), _secrets(file)
    before: Mapping[ServiceName, Wish] = {}
    raw: Mapping[ServiceName, Wish] = {}
    with patch.object(listing, "LONG", 0):
        for commit in history:
            file.write_text(commit.secrets)
            sha = repository.commit(repository.folder_of(commit.files))
            revision, tree = Revision("main", sha), repository.look(sha)
            try:
                anew = Reader(Shelf()).read(tree, revision)
            except Stalled as stalled:
                with pytest.raises(Stalled, match=re.escape(stalled.message)):
                    reader.read(tree, revision)
                continue
            read = reader.read(tree, revision)
            assert told(read) == told(anew)
            assert read.before is raw or not raw
            assert {name for name in read.wishes.keys() | raw.keys() if read.wishes.get(name) is not raw.get(name)} == (
                read.changed
            )
            raw = read.wishes
            complete = secrets.complete(read)
            assert told(complete) == told(_secrets(file).complete(anew))
            now, then = alike(complete.wishes), alike(before)
            assert {name for name in now.keys() | then.keys() if now.get(name) != then.get(name)} <= complete.changed
            before = complete.wishes


def test_a_service_that_wants_no_secret_any_more_has_none(place: Path, repository: Repository) -> None:
    file = place / "one.env"
    file.write_text("ONE=1\n")
    reader, secrets = Reader(Shelf()), _secrets(file)

    def read(manifest: bytes) -> Wish:
        sha = repository.push({"services/a/service.yaml": manifest, "services/b/service.yaml": MANIFESTS[0]})
        return secrets.complete(reader.read(repository.look(sha), Revision("main", sha))).wishes[ServiceName("a")]

    wish = read(b"version: 1\nsecrets: [{name: ONE, from: 'file:one.env'}]\n")
    assert isinstance(wish, Wanted)
    assert [one.name for one in wish.secrets] == ["ONE"]
    wish = read(MANIFESTS[1])
    assert isinstance(wish, Wanted)
    assert (wish.secrets, wish.manifest.replicas) == ((), 2)


def _secrets(file: Path) -> Secrets:
    return Secrets({"file": DotenvFiles([file], str)}, Veil())


def test_a_folder_that_could_not_be_read_is_read_again_though_no_commit_touched_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"services/a/service.yaml": b"version: 1\n", "services/b/service.yaml": b"version: 1\n"}
    reader, sha = Reader(Shelf()), repository.push(folders)
    with monkeypatch.context() as harm:
        harm.setattr(Tree, "blob", _unreadable("services/b/service.yaml"))
        first = reader.read(repository.look(sha), Revision("main", sha))
    assert isinstance(first.wishes[ServiceName("b")], Unfit)
    other = repository.push({**folders, "services/a/router.py": b"1"})
    second = reader.read(repository.look(other), Revision("main", other))
    assert second.changed == {"a", "b"}
    assert all(isinstance(wish, Wanted) for wish in second.wishes.values())


def _unreadable(lost: str) -> Any:
    found = Tree.blob

    def blob(tree: Tree, path: str, limit: int) -> bytes | None:
        if path == lost:
            raise Wait(Reason.SOURCE_UNAVAILABLE, "not now")
        return found(tree, path, limit)

    return blob


def test_a_router_that_comes_without_a_manifest_is_told_at_once(repository: Repository) -> None:
    """It was no service and is none, so that nothing else about the commit is new."""
    folders = {"services/a/service.yaml": b"version: 1\n", "services/notes/README": b"1"}
    reader, sha = Reader(Shelf()), repository.push(folders)
    assert reader.read(repository.look(sha), Revision("main", sha)).warnings == ()
    sha = repository.push({**folders, "services/notes/router.py": b"1"})
    (warning,) = reader.read(repository.look(sha), Revision("main", sha)).warnings
    assert (warning.code, warning.file) == ("no-manifest", "services/notes")
