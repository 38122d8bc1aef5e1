"""Looking for folders again, and only where two trees differ: the answer is that of looking everywhere."""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.failure import Stalled
from reconciler.source import listing, search
from reconciler.source.listing import Listings, Malformed, read
from reconciler.source.objects import Objects
from reconciler.source.tree import Tree
from tests.source.repositories import Repository

Inside: TypeAlias = "bytes | dict[str, Any]"
"""A file's content, or what a folder holds."""

NAMES = st.sampled_from(("a", "b", "api", ".hidden", "odd\n", "odd\\n", "é"))
"""With two that are shown alike."""
PATTERNS = (
    *("", ".", "..", "*", ".*", "[ab]*", "*/*", "a/*", "a/b", "*/api", "odd*/*"),
    *("**", "**/*", "**/api", "a/**/b", "**/a/**"),
)
FOLDERS = st.dictionaries(
    NAMES,
    st.recursive(
        st.sampled_from((b"1", b"2")), lambda inside: st.dictionaries(NAMES, inside, max_size=4), max_leaves=12
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("folders") / "upstream.git")


def written(repository: Repository, inside: Inside) -> str:
    if isinstance(inside, bytes):
        return repository.blob(inside)
    return repository.tree(
        [
            ("100644" if isinstance(one, bytes) else "40000", name.encode(), written(repository, one))
            for name, one in inside.items()
        ]
    )


def look(repository: Repository, root: Inside) -> Tree:
    return repository.look(repository.commit(written(repository, root)))


@settings(deadline=None)
@given(st.lists(FOLDERS, min_size=2, max_size=4), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2))
def test_looking_again_finds_what_looking_everywhere_finds(
    repository: Repository, roots: list[dict[str, Inside]], patterns: list[str]
) -> None:
    with patch.object(listing, "LONG", 0):
        before = look(repository, roots[0]).look_for(patterns[0])
        for root, pattern in zip(roots[1:], cycle(patterns[::-1]), strict=False):
            tree = look(repository, root)
            again, anew = tree.look_for(pattern, before), tree.look_for(pattern)
            assert (again.ids, again.looked_into) == (anew.ids, anew.looked_into)
            assert set(again.moved) == {path for path, one in anew.ids.items() if before.ids.get(path) != one}
            assert set(again.gone) == before.ids.keys() - anew.ids.keys()
            before = again


def test_folders_that_are_shown_alike_are_not_taken_for_one_another(repository: Repository) -> None:
    then: dict[str, Inside] = {"odd\n": {"api": {"x": b"1"}}, "odd\\n": {"api": {"x": b"2"}}}
    before = look(repository, then).look_for("*/api")
    for name in then:
        tree = look(repository, {**then, name: {"api": {"x": b"3"}}})
        assert tree.look_for("*/api", before).ids == tree.look_for("*/api").ids


def test_a_tree_that_is_not_here_any_more_is_compared_all_the_same(repository: Repository, tmp_path: Path) -> None:
    before = look(repository, {"a": {"x": b"1"}, "b": {"x": b"1"}, "c": {}}).look_for("*")
    elsewhere, noticed = Repository(tmp_path / "elsewhere.git"), list[bool]()
    sha = elsewhere.commit(written(elsewhere, {"b": {"x": b"2"}, "c": {}, "d": {}}))
    found = Tree(Objects(elsewhere.folder, lambda: noticed.append(True)), sha).look_for("*", before)
    assert set(found.ids) == {"b", "c", "d"}
    assert (set(found.moved), set(found.gone)) == ({"b", "d"}, {"a"})
    assert not noticed


def test_a_pattern_may_lead_through_so_many_folders_however_they_came(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_FOLDERS", 3)
    few: dict[str, Inside] = {"a": {"api": {}}, "b": {"api": {}}}
    before = look(repository, few).look_for("*/api")
    another = look(repository, {"a": {"api": {}}, "c": {"api": {}}}).look_for("*/api", before)
    assert set(another.ids) == {"a/api", "c/api"}
    with pytest.raises(Stalled, match="more folders than are looked into"):
        look(repository, {**few, "c": {}}).look_for("*/api", before)


# Long listings

COUNT = 5_000


def rows(moved: dict[int, tuple[bytes, bytes]], names: range = range(COUNT)) -> bytes:
    """A listing of thousands, in which some have another mode and id."""
    return b"".join(
        mode + b" folder-%05d\0" % number + oid * 20
        for number in names
        for mode, oid in [moved.get(number, (b"40000", b" "))]
    )


EDITS = st.dictionaries(
    st.integers(0, COUNT - 1),
    # Ids may look like anything, a beginning of an entry included.
    st.tuples(st.sampled_from((b"40000", b"10644", b"100644", b"120000")), st.sampled_from((b"\0", b"4", b"/", b"a"))),
    max_size=12,
)


@settings(deadline=None)
@given(EDITS, EDITS)
def test_what_is_read_only_where_it_differs_is_what_is_read_from_the_beginning(
    first: dict[int, tuple[bytes, bytes]], then: dict[int, tuple[bytes, bytes]]
) -> None:
    listings = Listings()
    listings.read(b"first", rows(first))
    assert list(listings.read(b"then", rows(then)).items()) == list(read(rows(then)).items())


def test_a_long_listing_with_the_same_names_is_not_read_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    listings = Listings()
    listings.read(b"first", rows({}))
    monkeypatch.setattr(listing, "read", lambda data: pytest.fail("it was read from the beginning"))
    then = listings.read(b"then", rows({7: (b"40000", b"x"), 4_999: (b"40000", b"y")}))
    assert [name for name, entry in then.items() if entry[2] != b" " * 20] == [b"folder-00007", b"folder-04999"]
    assert listings.known(b"then") is then


def test_long_listings_are_read_anew_where_names_differ_or_nearly_everything_does() -> None:
    listings = Listings()
    listings.read(b"first", rows({}))
    for data in (
        rows({}, range(1, COUNT + 1)),
        rows({}, range(COUNT - 1)),
        rows(dict.fromkeys(range(COUNT), (b"40000", b"n"))),
    ):
        assert list(listings.read(data[-40:], data).items()) == list(read(data).items())


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda data: data.replace(b"40000 folder-02500", b"4000x folder-02500"), id="a mode"),
        pytest.param(lambda data: data.replace(b"folder-02500", b"folder/02500"), id="a name"),
        pytest.param(lambda data: data.replace(b"folder-02500", b"folder-02499"), id="a name that is there twice"),
    ],
)
def test_a_long_listing_that_is_none_is_no_less_refused_beside_a_good_one(harm: Callable[[bytes], bytes]) -> None:
    listings = Listings()
    listings.read(b"first", rows({}))
    with pytest.raises(Malformed):
        listings.read(b"then", harm(rows({})))


def test_only_the_last_long_listings_are_remembered() -> None:
    listings = Listings()
    for number in range(20):
        listings.read(b"%d" % number, rows({number: (b"40000", b"x")}))
    assert [number for number in range(20) if listings.known(b"%d" % number)] == [16, 17, 18, 19]


def test_of_very_long_listings_fewer_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    listings, data = Listings(), rows({})
    monkeypatch.setattr(listing, "MOST_BYTES", 2 * len(data))
    for name in (b"1", b"2", b"3"):
        listings.read(name, data)
    assert [name for name in (b"1", b"2", b"3") if listings.known(name)] == [b"2", b"3"]
    assert listings.read(b"longer", rows({}, range(2 * COUNT + 1, 4 * COUNT + 2))) and not listings.known(b"longer")
    assert listings.known(b"3")
