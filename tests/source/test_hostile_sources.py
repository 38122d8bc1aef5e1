"""Group G of the hostile corpus, as far as it concerns the whole repository or the server that holds it.

Nothing of such a source is used, what was fetched before stays or is fetched again, and nothing is ever
concluded to be deleted.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.failure import Reason, Wait
from reconciler.source.address import parse_address
from reconciler.source.mirror import Mirror
from reconciler.source.program import Said
from reconciler.source.trouble import DETAIL_LIMIT, Meaning, understand
from tests.source.mirrors import TASKS, content, following
from tests.source.repositories import Repository, Row, link
from tests.source.servers import answering


def _named(name: bytes, mode: str = "100644") -> Callable[[Repository], str]:
    return lambda repository: repository.tree([(mode, name, repository.blob(b"x"))])


def _folder_named(name: bytes) -> Callable[[Repository], str]:
    return lambda repository: repository.tree([("40000", name, repository.folder_of({"config": b"x"}))])


def _rows(*names: bytes) -> Callable[[Repository], str]:
    def build(repository: Repository) -> str:
        rows: list[Row] = [("100644", name, repository.blob(name)) for name in names]
        return repository.tree(rows, ordered=False)

    return build


def _duplicates(repository: Repository) -> str:
    rows: list[Row] = [("100644", b"app.py", repository.blob(text)) for text in (b"one", b"two")]
    return repository.tree(rows)


def _modules(content: bytes) -> Callable[[Repository], str]:
    return lambda repository: repository.folder_of({".gitmodules": content})


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(_folder_named(b".git"), id="G-05 a folder .git"),
        pytest.param(_named(b".git"), id="G-05 a file .git"),
        pytest.param(_folder_named(b".GIT"), id="G-05 .GIT"),
        pytest.param(_folder_named(b"git~1"), id="G-05 the short name of .git"),
        pytest.param(_folder_named(".g\u200cit".encode()), id="G-05 .git with an ignorable character"),
        pytest.param(_folder_named(b".."), id="G-06 .."),
        pytest.param(_folder_named(b"."), id="G-06 ."),
        pytest.param(_named(b"a/../../b"), id="G-06 a path as a name"),
        pytest.param(_named(b"/abs"), id="G-06 an absolute path as a name"),
        pytest.param(_duplicates, id="G-07 one name twice"),
        pytest.param(_rows(b"b.py", b"a.py"), id="G-07 names out of order"),
        pytest.param(lambda r: r.tree([link(".gitmodules", b"x", r)]), id="G-08 .gitmodules as a link"),
        pytest.param(_modules(b'[submodule "x"]\n\tpath = x\n\turl = --upload-pack=x\n'), id="G-08 an option as URL"),
        pytest.param(_modules(b'[submodule "../x"]\n\tpath = x\n\turl = y\n'), id="G-08 a name that climbs out"),
    ],
)
def test_malformed_objects_are_refused_whole_and_the_mirror_recovers(
    repository: Repository, place: Path, build: Callable[[Repository], str]
) -> None:
    good = repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        bad = build(repository)
        sha = repository.commit(repository.tree([("40000", b"services", bad)]), parent=good)
        with pytest.raises(Wait, match="malformed") as caught:
            await mirror.fetch()
        assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
        assert mirror.tip != sha
        with pytest.raises(Wait):
            mirror.tree(sha)
        repository.point(good)
        mended = repository.push({TASKS: b"two"})
        assert content(mirror.tree((await mirror.fetch()).sha)) == b"two"
        assert mirror.tip == mended

    following(repository.folder, place, scenario)


def test_a_missing_blob_fails_the_fetch_and_what_was_fetched_is_there_again(
    repository: Repository, place: Path
) -> None:
    good = repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        missing = repository.tree([("100644", b"router.py", "1" * 40)])
        repository.commit(repository.tree([("40000", b"services", missing)]), parent=good)
        with pytest.raises(Wait):
            await mirror.fetch()
        repository.point(good)
        assert content(mirror.tree((await mirror.fetch()).sha)) == b"one"

    following(repository.folder, place, scenario)


def test_a_bomb_is_fetched_as_the_few_objects_it_is(repository: Repository, place: Path) -> None:
    tree = repository.folder_of({f"f{n}": b"x" for n in range(10)})
    for _ in range(9):
        tree = repository.tree([("40000", f"d{n}".encode(), tree) for n in range(10)])
    good = repository.folder_of({"router.py": b"router = 1\n"})
    repository.commit(
        repository.tree([("40000", b"services", repository.tree([("40000", b"bomb", tree), ("40000", b"good", good)]))])
    )

    async def scenario(mirror: Mirror) -> None:
        found = mirror.tree((await mirror.fetch()).sha)
        assert set(found.folders("services/*")) == {"services/bomb", "services/good"}
        assert [file.path for file in found.files("services/good")] == ["services/good/router.py"]

    following(repository.folder, place, scenario)


def test_g13_a_source_larger_than_what_is_taken_is_refused_with_the_reason(repository: Repository, place: Path) -> None:
    good = repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        noise = b"".join(hash((n, "noise")).to_bytes(8, "big", signed=True) for n in range(100_000))
        repository.push({TASKS: b"two", "elsewhere/huge": noise})
        with pytest.raises(Wait, match="larger than this server takes"):
            await mirror.fetch()
        assert content(mirror.tree(good)) == b"one"
        assert not list(place.glob("objects/pack/tmp_*")), "it is asked for again and again, and would fill the disk"

    following(repository.folder, place, scenario, pack_bytes=300_000)


@pytest.mark.parametrize(
    ("status", "headers", "body", "says"),
    [
        pytest.param(401, {"WWW-Authenticate": 'Basic realm="x"'}, b"", "credentials", id="G-22 401"),
        pytest.param(403, {}, b"", "forbids", id="G-22 403"),
        pytest.param(404, {}, b"", "not a git repository", id="G-22 404"),
        pytest.param(429, {"Retry-After": "60"}, b"", "429", id="G-22 429"),
        pytest.param(500, {}, b"", "5xx", id="G-22 500"),
        pytest.param(503, {}, b"", "5xx", id="G-22 503"),
        pytest.param(200, {"Content-Type": "text/html"}, b"<html>\nSign in\n</html>\n", "not a git", id="G-22 a page"),
    ],
)
def test_what_a_forge_answers_on_a_bad_day_has_a_name(
    place: Path, status: int, headers: dict[str, str], body: bytes, says: str
) -> None:
    async def scenario(mirror: Mirror) -> None:
        for attempt in (mirror.fetch, mirror.latest):
            with pytest.raises(Wait, match=says) as caught:
                await attempt()
            assert "t0ken" not in f"{caught.value.message}{caught.value.detail}"

    with answering(status, body, headers) as host:
        following(f"http://me:t0ken@{host}/a.git", place, scenario)


def test_g22_a_redirect_to_another_host_is_not_followed(place: Path) -> None:
    async def scenario(mirror: Mirror) -> None:
        with pytest.raises(Wait, match="redirects elsewhere"):
            await mirror.fetch()

    with answering(200) as elsewhere, answering(302, b"", {"Location": f"http://{elsewhere}/info/refs"}) as host:
        following(f"http://me:t0ken@{host}/a.git", place, scenario)


def test_a_port_where_nobody_listens_is_unreachable(place: Path) -> None:
    async def scenario(mirror: Mirror) -> None:
        with pytest.raises(Wait, match="cannot be reached"):
            await mirror.fetch()

    following("http://127.0.0.1:1/a.git", place, scenario)


def test_what_git_says_is_told_without_secrets_and_control_characters() -> None:
    address = parse_address("https://me:s3cr3t@forge.example/a.git")
    said = Said(128, b"", "fatal: https://me:s3cr3t@forge.example \x1b[2J\u202e bWU6czNjcjN0\n" + "x" * 10_000)
    failure = understand(said, address, "main").failure
    told = f"{failure.message} {failure.detail}"
    assert "s3cr3t" not in told
    assert "bWU6czNjcjN0" not in told
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert len(failure.detail or "") <= DETAIL_LIMIT


def test_a_remote_cannot_choose_how_its_failure_is_understood() -> None:
    said = Said(128, b"", "remote: fatal: couldn't find remote ref\nfatal: fsck error in packed object\n")
    assert understand(said, parse_address("/srv/a"), "main").meaning is Meaning.MALFORMED


def test_a_mirror_that_cannot_be_made_says_so(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    async def scenario() -> None:
        mirror = Mirror(repository.folder, "main", tmp_path / "data" / "mirror.git")
        with pytest.raises(Wait, match="cannot be written"):
            await mirror.open()
        await mirror.close()

    asyncio.run(scenario())
