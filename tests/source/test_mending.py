"""What may become of the mirror itself: killed, damaged, grown; the next fetch mends it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.failure import Wait
from reconciler.model.names import ObjectId
from reconciler.source import mirror as mirrors
from reconciler.source.mirror import Mirror
from tests.source.mirrors import TASKS, content, following
from tests.source.processes import commands_with
from tests.source.repositories import Repository
from tests.source.servers import silent
from tests.waiting import until, until_sync


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


def test_packs_that_cannot_be_put_together_leave_nothing_of_the_try(
    repository: Repository, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "MOST_PACKS", 2)

    async def scenario(mirror: Mirror) -> None:
        for name in ("one", "two", "three"):
            repository.push({TASKS: b"x", name: os.urandom(200_000)})
            await mirror.fetch()
        await mirror.resolve("HEAD")
        await mirror.resolve("HEAD")  # behind the try
        assert len(list(place.glob("objects/pack/*.pack"))) == 3, "together they are larger than a file may be"
        assert not [path for path in place.glob("objects/pack/*") if "tmp" in path.name]

    following(repository.folder, place, scenario, pack_bytes=300_000)


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
    # What its git had begun may take a moment to notice.
    until_sync(lambda: not commands_with(str(place)), what="the end of what it began")

    async def scenario(mirror: Mirror) -> None:
        sha = repository.push({TASKS: b"two"})
        assert (await mirror.fetch()).sha == sha
        assert content(mirror.tree(sha)) == b"two"

    following(repository.folder, place, scenario)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_git_ends_with_who_started_it_and_moves_the_tip_no_more(place: Path) -> None:
    with silent() as (host, asked):
        command = [sys.executable, "-c", KILLED, f"http://{host}/a.git", str(place)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
            until_sync(asked.is_set, what="git asking the server")
            assert _fetches(host)
            child.kill()
        until_sync(lambda: not _fetches(host), within=10.0, what="the end of its git")


def _fetches(word: str) -> list[bytes]:
    """Not what helps a fetch, and moves nothing."""
    return [command for command in commands_with(word) if b"fetch" in command.split(b"\0")]
