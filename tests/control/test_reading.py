"""Reading a revision: work in proportion to the change, counted in calls."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.control import reading, view
from reconciler.control.gate import Shelf
from reconciler.control.reading import Reader
from reconciler.control.wanted import Reading
from reconciler.model.names import ObjectId, Revision
from reconciler.source.tree import Tree
from tests.source.repositories import Repository

SERVICES = 5_000
WORK = {
    **dict.fromkeys(("load", "effective", "read_suites", "from_list", "configuration"), view),
    "read_platform": reading,
}
"""Everything that parses or validates something of a service."""


class Counting:
    """A tree that counts what is asked of it."""

    def __init__(self, tree: Tree, calls: Counter[str]) -> None:
        self._tree = tree
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._tree, name)
        if not callable(found):
            return found
        return _counted(name, found, self._calls)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()
    for name, module in WORK.items():
        monkeypatch.setattr(module, name, _counted(name, getattr(module, name), counted))
    return counted


def _counted(name: str, work: Callable[..., Any], calls: Counter[str]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        calls[name] += 1
        return work(*arguments, **named)

    return call


def revision_of(repository: Repository, changed: dict[str, bytes], message: str) -> ObjectId:
    """Thousands of services that are all alike, save for those named."""
    alike = repository.folder_of({"service.yaml": b"version: 1\n", "router.py": b"router = None\n"})
    others = {
        name: repository.folder_of({"service.yaml": manifest, "router.py": b"router = None\n"})
        for name, manifest in changed.items()
    }
    names = [f"service-{number}" for number in range(SERVICES)]
    services = repository.tree([("40000", name.encode(), others.get(name, alike)) for name in names])
    return repository.commit(repository.tree([("40000", b"services", services)]), message)


def test_one_changed_service_among_thousands_is_the_only_one_read(tmp_path: Path, calls: Counter[str]) -> None:
    repository = Repository(tmp_path / "upstream.git")
    reader = Reader(Shelf())

    def read(changed: dict[str, bytes], message: str = "change") -> Reading:
        sha = revision_of(repository, changed, message)
        calls.clear()
        tree: Any = Counting(repository.look(sha), calls)
        return reader.read(tree, Revision("main", sha))

    first = read({})
    assert len(first.wishes) == calls["load"] == calls["effective"] == SERVICES

    second = read({"service-7": b"version: 1\ndescription: Another\n"})
    assert second.changed == {"service-7"}
    assert {name: calls[name] for name in WORK} == {
        **dict.fromkeys(WORK, 1),
        "read_platform": 0,
    }
    # Of git: one listing of the folders, the platform's file, and what one service consists of.
    assert calls["look_for"] == 1
    assert sum(calls[name] for name in ("blob", "files", "object_id", "matches")) <= 5, calls
    assert all(second.wishes[name] is wish for name, wish in first.wishes.items() if name != "service-7")

    third = read({"service-7": b"version: 1\ndescription: Another\n"}, "say it again")
    assert third.changed == frozenset()
    assert not any(calls[name] for name in WORK), "the same services in another commit are nothing to read"


def test_a_reader_apart_knows_what_the_other_has_read(tmp_path: Path, calls: Counter[str]) -> None:
    repository = Repository(tmp_path / "upstream.git")
    folder = {"services/a/service.yaml": b"version: 1\n", "services/b/service.yaml": b"version: 1\n"}
    reader, sha = Reader(Shelf()), repository.push(folder)
    before = reader.read(repository.look(sha), Revision("main", sha))
    calls.clear()
    other = repository.push({**folder, "services/b/service.yaml": b"version: 1\nreplicas: 2\n"})
    assert reader.apart(Shelf()).read(repository.look(other), Revision("main", other)).changed == {"b"}
    assert calls["load"] == 1
    assert reader.read(repository.look(sha), Revision("main", sha)).wishes is before.wishes
