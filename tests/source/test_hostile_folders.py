"""Group G of the hostile corpus, as far as it concerns one folder: it is refused, and its neighbour is not.

What concerns the whole repository is in `test_hostile_sources.py`, addresses are in `test_address.py`. Mass
deletion, unknown commits of webhooks and bursts of pushes are decided above this package.
"""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.failure import Reason, Stalled
from reconciler.source import survey
from reconciler.source.objects import Objects
from reconciler.source.survey import DEEPEST, LARGEST_FILE
from tests.source.repositories import Repository, Row, link

Build = Callable[[Repository], list[Row]]
"""Makes the rows of the bad folder."""

GOOD: dict[str, bytes | Row] = {"router.py": b"router = 1\n"}


def _file(name: bytes, content: bytes = b"x = 1\n", mode: str = "100644") -> Build:
    return lambda repository: [(mode, name, repository.blob(content))]


def _link(target: bytes, name: str = "router.py") -> Build:
    return lambda repository: [link(name, target, repository)]


def _circle(repository: Repository) -> list[Row]:
    return [link("a", b"b", repository), link("b", b"a", repository)]


def _folders_that_contain_each_other(repository: Repository) -> list[Row]:
    left = repository.tree([link("to-right", b"../right", repository)])
    right = repository.tree([link("to-left", b"../left", repository)])
    return [("40000", b"left", left), ("40000", b"right", right)]


def _many_folder_links(repository: Repository) -> list[Row]:
    target = ("40000", b"target", repository.folder_of(GOOD))
    return [target, *(link(f"link{number}", b"target", repository) for number in range(300))]


def _submodule(_repository: Repository) -> list[Row]:
    return [("160000", b"vendor", "1" * 40)]


def _submodule_with_url(repository: Repository) -> list[Row]:
    modules = b'[submodule "x\r"]\n\tpath = vendor\n\turl = ext::sh -c touch% /tmp/x\n'
    return [("100644", b".gitmodules", repository.blob(modules)), ("160000", b"vendor", "1" * 40)]


def _two(first: str, second: str) -> Build:
    return lambda repository: [("100644", name.encode(), repository.blob(b"x")) for name in (first, second)]


def _deep(repository: Repository) -> list[Row]:
    tree = repository.folder_of(GOOD)
    for _ in range(200):
        tree = repository.tree([("40000", b"d", tree)])
    return [("40000", b"d", tree)]


def _long_path(repository: Repository) -> list[Row]:
    tree = repository.folder_of(GOOD)
    for _ in range(25):
        tree = repository.tree([("40000", b"d" * 200, tree)])
    return [("40000", b"d" * 200, tree)]


def _bomb(repository: Repository) -> list[Row]:
    """Ten objects, ten thousand million files."""
    tree = repository.tree([("100644", f"f{n}".encode(), repository.blob(b"x")) for n in range(10)])
    for _ in range(9):
        tree = repository.tree([("40000", f"d{n}".encode(), tree) for n in range(10)])
    return [("40000", b"bomb", tree)]


def _wide(repository: Repository) -> list[Row]:
    """One listing that is larger than anybody wants to read."""
    blob = repository.blob(b"x")
    rows = [("100644", f"a-file-with-quite-a-long-name-{n:07}".encode(), blob) for n in range(80_000)]
    return [("40000", b"wide", repository.tree(rows, ordered=False))]


def _pointer(repository: Repository) -> list[Row]:
    text = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    return [("100644", b"router.py", repository.blob(text))]


CORPUS = [
    pytest.param(_link(b"/etc/passwd"), "symlink-outside", id="G-01 a link to /etc/passwd"),
    pytest.param(_link(b"../../../../etc/passwd"), "symlink-outside", id="G-01 a link that climbs out"),
    pytest.param(_link(b"../../services.yaml"), "symlink-outside", id="a link to a file that is not watched"),
    pytest.param(_link(b"../good", "copy"), "symlink-outside", id="G-03 a link to another service's folder"),
    pytest.param(_link(b"../good/router.py"), "symlink-outside", id="a link to another service's file"),
    pytest.param(_link(b"../good/../bad/x"), "symlink-outside", id="a link through another service's folder"),
    pytest.param(_link(b"../elsewhere/x"), "symlink-broken", id="a link through a folder that is not there"),
    pytest.param(_link(b"missing.py"), "symlink-broken", id="a link to nothing"),
    pytest.param(_link(b""), "symlink-outside", id="a link without a target"),
    pytest.param(_link(b"a\0b"), "symlink-outside", id="a link with a NUL in its target"),
    pytest.param(_link(b".git/config"), "symlink-outside", id="a link to git's own"),
    pytest.param(_link(b"x" * 5000), "symlink-outside", id="a link with a target of 5,000 bytes"),
    pytest.param(_link(b"router.py"), "symlink-loop", id="G-04 a link to itself"),
    pytest.param(_circle, "symlink-loop", id="G-04 two links to one another"),
    pytest.param(_link(b".", "here"), "symlink-loop", id="a link to the folder it is in"),
    pytest.param(_folders_that_contain_each_other, "symlink-loop", id="two folders that contain each other by links"),
    pytest.param(_many_folder_links, "too-many-files", id="hundreds of links to folders"),
    pytest.param(_submodule, "submodule", id="G-08 a submodule without .gitmodules"),
    pytest.param(_submodule_with_url, "submodule", id="G-08 a submodule with an ext:: URL and CR in its name"),
    pytest.param(_link(b"vendor/x"), "symlink-broken", id="a link into what a submodule would be"),
    pytest.param(_file(b"a\nb.py"), "bad-name", id="G-10 a newline"),
    pytest.param(_file(b"a\x1b[2Jb.py"), "bad-name", id="an escape sequence"),
    pytest.param(_file(b"-rf"), "bad-name", id="G-10 a leading dash"),
    pytest.param(_file(b"--upload-pack=x"), "bad-name", id="G-10 an option"),
    pytest.param(_file(b"..\\..\\x.py"), "bad-name", id="G-10 backslashes"),
    pytest.param(_file("a\u202egnp.py".encode()), "bad-name", id="G-10 a turned writing direction"),
    pytest.param(_file("a\u200bb.py".encode()), "bad-name", id="an invisible character"),
    pytest.param(_file(b"a\xff\xfe.py"), "bad-name", id="G-10 bytes ff fe"),
    pytest.param(_file(b"a\xed\xa0\x80.py"), "bad-name", id="an encoded surrogate"),
    pytest.param(_file(b"a" * 300), "bad-name", id="G-10 a name of 300 bytes"),
    pytest.param(_file(b"router.py."), "bad-name", id="G-10 a trailing dot"),
    pytest.param(_file(b"router.py "), "bad-name", id="G-10 a trailing space"),
    pytest.param(_file(b"CON"), "bad-name", id="G-10 a device's name"),
    pytest.param(_file(b".git"), "bad-name", id="G-05 .git"),
    pytest.param(_file(b".GIT"), "bad-name", id="G-05 .GIT"),
    pytest.param(_file(b"git~1"), "bad-name", id="G-05 its short name on Windows"),
    pytest.param(_file(".g\u200cit".encode()), "bad-name", id="G-05 .git with an ignorable character"),
    pytest.param(_file(b".git::$INDEX_ALLOCATION"), "bad-name", id="G-05 .git as a stream"),
    pytest.param(_file(b".."), "bad-name", id="G-06 .."),
    pytest.param(_two("App.py", "app.py"), "name-collision", id="names that differ in case"),
    pytest.param(_two("caf\u00e9.py", "cafe\u0301.py"), "name-collision", id="names that differ in normalisation"),
    pytest.param(_two("stra\u00dfe.py", "STRASSE.py"), "name-collision", id="names that differ in folding"),
    pytest.param(_deep, "too-deep", id="G-11 a path 200 folders deep"),
    pytest.param(_long_path, "path-too-long", id="G-11 a path of 5,000 bytes"),
    pytest.param(_bomb, "too-many-files", id="a bomb of ten thousand million files"),
    pytest.param(_wide, "too-many-files", id="a folder of a listing of megabytes"),
    pytest.param(_file(b"zero", bytes(LARGEST_FILE + 1)), "file-too-large", id="G-13 a huge file of zeros"),
    pytest.param(_pointer, "lfs-pointer", id="G-27 an LFS pointer as router.py"),
    pytest.param(_file(b"pipe", mode="010000"), "bad-name", id="an entry that is neither file nor folder"),
]


@pytest.mark.parametrize(("build", "code"), CORPUS)
def test_a_bad_folder_is_refused_and_its_neighbour_is_not(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: Build, code: str
) -> None:
    bad, good = repository.tree(build(repository)), repository.folder_of(GOOD)
    services = repository.tree([("40000", b"bad", bad), ("40000", b"good", good)])
    yaml = ("100644", b"services.yaml", repository.blob(b"version: 1\n"))
    tree = repository.look(repository.commit(repository.tree([yaml, ("40000", b"services", services)])))
    listings = _count_listings(monkeypatch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert set(tree.folders("services/*")) == {"services/bad", "services/good"}
    for attempt in (lambda: tree.files("services/bad"), lambda: tree.write("services/bad", tmp_path / "bad-1")):
        with pytest.raises(Stalled) as caught:
            attempt()
        assert caught.value.reason is Reason.MANIFEST_INVALID
        _check_problems(caught.value, code)

    assert len(listings) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    assert not (tmp_path / "bad-1").exists()
    assert (tree.write("services/good", tmp_path / "good-1") / "router.py").read_bytes() == b"router = 1\n"


def _check_problems(failure: Stalled, code: str) -> None:
    assert code in [problem.code for problem in failure.problems]
    for problem in failure.problems:
        assert problem.remedy
        assert problem.file is not None
        assert problem.file.startswith("services/bad")
        assert problem.message.isprintable()
        assert len(problem.message) < 500
        assert "root:" not in problem.message


def _count_listings(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    counted: list[bytes] = []
    listing = Objects.entries

    def count(objects: Objects, tree: bytes) -> object:
        counted.append(tree)
        return listing(objects, tree)

    monkeypatch.setattr(Objects, "entries", count)
    return counted


def test_a_content_over_the_limit_is_never_read(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = repository.look_at({"services/bad/zero": bytes(LARGEST_FILE + 1)})
    sizes: list[int] = []
    content = Objects.content

    def noted(objects: Objects, blob: bytes, limit: int) -> bytes:
        read = content(objects, blob, limit)
        sizes.append(len(read))
        return read

    monkeypatch.setattr(Objects, "content", noted)
    with pytest.raises(Stalled):
        tree.files("services/bad")
    assert sizes == []


def test_a_folder_that_is_too_large_in_all_is_refused(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "MOST_BYTES", 2500)
    tree = repository.look_at({f"services/bad/f{n}": bytes(1000) for n in range(3)})
    with pytest.raises(Stalled) as caught:
        tree.files("services/bad")
    assert [problem.code for problem in caught.value.problems] == ["too-large"]


def test_all_problems_of_a_folder_are_told_at_once_but_not_without_end(repository: Repository) -> None:
    rows = [("100644", f"-{n:04}".encode(), repository.blob(b"x")) for n in range(1000)]
    services = repository.tree([("40000", b"bad", repository.tree([*rows[:3], link("x", b"/", repository)]))])
    tree = repository.look(repository.commit(repository.tree([("40000", b"services", services)])))
    with pytest.raises(Stalled, match="And 3 more") as caught:
        tree.files("services/bad")
    assert [problem.code for problem in caught.value.problems] == ["bad-name"] * 3 + ["symlink-outside"]
    services = repository.tree([("40000", b"bad", repository.tree(rows))])
    tree = repository.look(repository.commit(repository.tree([("40000", b"services", services)])))
    with pytest.raises(Stalled) as caught:
        tree.files("services/bad")
    assert len(caught.value.problems) == survey.MOST_PROBLEMS


def test_a_bad_name_is_shown_escaped(repository: Repository) -> None:
    names = (b"a\nb", b"a\xe2\x80\xaeb", b"a\xffb")
    rows = [("100644", name, repository.blob(b"x")) for name in names]
    sha = repository.commit(repository.tree([("40000", b"bad", repository.tree(rows))]))
    with pytest.raises(Stalled) as caught:
        repository.look(sha).files("bad")
    assert [problem.file for problem in caught.value.problems] == ["bad/a\\nb", "bad/a\\u202eb", "bad/a\\xffb"]


def test_a_folder_with_a_bad_name_is_listed_escaped_and_hides_no_other(repository: Repository) -> None:
    inside = repository.folder_of(GOOD)
    services = repository.tree([("40000", name, inside) for name in (b"a\xff", b"b\nc", b"tasks")])
    tree = repository.look(repository.commit(repository.tree([("40000", b"services", services)])))
    assert sorted(tree.folders("services/*")) == ["services/a\\xff", "services/b\\nc", "services/tasks"]


def test_links_and_submodules_are_no_service_folders(repository: Repository) -> None:
    inside = repository.folder_of(GOOD)
    rows = [("40000", b"tasks", inside), link("etc", b"/etc", repository), ("160000", b"module", "1" * 40)]
    tree = repository.look(repository.commit(repository.tree([("40000", b"services", repository.tree(rows))])))
    assert list(tree.folders("services/*")) == ["services/tasks"]


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        pytest.param(b"router.py", b"router = 1\n", id="to a file beside it"),
        pytest.param(b"lib/x.py", b"x = 1\n", id="to a file below"),
        pytest.param(b"./lib/../router.py", b"router = 1\n", id="by a detour inside the folder"),
        pytest.param(b"../good/router.py", b"router = 1\n", id="by its own folder's name"),
        pytest.param(b"../../shared/db.py", b"db = 1\n", id="to a watched path"),
        pytest.param(b"to-lib/x.py", b"x = 1\n", id="through another link"),
    ],
)
def test_links_that_stay_with_the_service_are_kept(
    repository: Repository, tmp_path: Path, target: bytes, leads_to: bytes
) -> None:
    tree = repository.look_at(
        {
            "services/good/router.py": b"router = 1\n",
            "services/good/lib/x.py": b"x = 1\n",
            "services/good/to-lib": link("to-lib", b"lib", repository),
            "services/good/link.py": link("link.py", target, repository),
            "shared/db.py": b"db = 1\n",
        }
    )
    code = tree.write("services/good", tmp_path / "good-1", ("shared/db.py",))
    assert (code / "link.py").is_symlink()
    assert (code / "link.py").read_bytes() == leads_to
    assert (code / "link.py").resolve().is_relative_to(tmp_path / "good-1")


@pytest.mark.parametrize(
    ("content", "mode", "written"),
    [
        pytest.param(b"a\r\nb\r\n", "100644", 0o644, id="G-28 CRLF stays"),
        pytest.param(b"\xef\xbb\xbfa = 1\n", "100644", 0o644, id="G-28 a byte order mark stays"),
        pytest.param(b"#!/bin/sh\n", "100755", 0o755, id="G-28 the executable bit stays"),
        pytest.param(b"a = 1\n", "104755", 0o755, id="G-28 setuid does not"),
        pytest.param(b"a = 1\n", "100666", 0o644, id="nor may everybody write"),
    ],
)
def test_bytes_are_kept_and_modes_are_two(
    repository: Repository, tmp_path: Path, content: bytes, mode: str, written: int
) -> None:
    folder = repository.tree([(mode, b"router.py", repository.blob(content))])
    tree = repository.look(repository.commit(repository.tree([("40000", b"tasks", folder)])))
    place = tree.write("tasks", tmp_path / "tasks-1") / "router.py"
    assert place.read_bytes() == content
    assert place.stat().st_mode & 0o7777 == written


def test_the_deepest_folder_that_is_allowed_is_written(repository: Repository, tmp_path: Path) -> None:
    tree = repository.folder_of(GOOD)
    for _ in range(DEEPEST - 2):
        tree = repository.tree([("40000", b"d", tree)])
    root = repository.tree([("40000", b"tasks", tree)])
    code = repository.look(repository.commit(root)).write("tasks", tmp_path / "tasks-1")
    assert (code / "/".join("d" * (DEEPEST - 2)) / "router.py").read_bytes() == b"router = 1\n"


@pytest.mark.parametrize("pattern", ["bomb/**/x", "**/**/**/x", "**/router.py"])
def test_a_pattern_cannot_be_sent_through_a_bomb(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.setattr("reconciler.source.search.MOST_FOLDERS", 500)
    tree = repository.look(repository.commit(repository.tree(_bomb(repository))))
    with pytest.raises(Stalled) as caught:
        tree.matches(pattern)
    assert [problem.code for problem in caught.value.problems] == ["too-many-files"]
