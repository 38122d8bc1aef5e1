"""The git program and the server that it asks: how long it may take, what it is told, and what nobody sees."""

import asyncio
import os
import resource
import sys
from pathlib import Path

import pytest

from reconciler.model.failure import Wait
from reconciler.source.mirror import Mirror
from tests.source.mirrors import TASKS, content, following
from tests.source.processes import commands_with, environs_with
from tests.source.repositories import Repository, git
from tests.source.servers import plain_files, silent
from tests.waiting import until


def test_a_fetch_that_is_cancelled_ends_git_and_its_children(repository: Repository, place: Path) -> None:
    async def scenario(mirror: Mirror) -> None:
        fetching = asyncio.create_task(mirror.fetch())
        await until(asked.is_set, what="git asking the server")
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert commands_with(host) == []
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
        await until(lambda: commands_with(host) == [], what="everything that git started to be gone")

    with silent() as (host, _):
        following(f"http://{host}/a.git", place, scenario, fetch_seconds=2.0)


def test_g34_a_token_is_sent_and_never_seen(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_TOKEN", "s3rver-s3cret")

    async def scenario(mirror: Mirror) -> None:
        fetching = asyncio.create_task(mirror.latest())
        await until(asked.is_set, what="git asking the server")
        assert commands_with(host) != []
        assert commands_with("t0ken") == []
        for environ in environs_with(host):
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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a program that limits another")
def test_how_much_it_may_write_is_settled_before_it_begins(
    repository: Repository, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "prlimit", lambda *_: None)  # as late as can be
    repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        repository.push({"elsewhere/huge": os.urandom(800_000)})
        with pytest.raises(Wait, match="larger than this server takes"):
            await mirror.fetch()

    following(repository.folder, place, scenario, pack_bytes=300_000)


@pytest.mark.parametrize("status", [0, 1])
def test_a_program_that_cannot_put_it_on_a_leash_is_left_out(
    repository: Repository, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    (tmp_path / "bin").mkdir()
    setpriv = tmp_path / "bin" / "setpriv"
    setpriv.write_text(f'#!/bin/sh\n[ {status} = 0 ] || exit {status}\nshift 3\nexec "$@"\n')
    setpriv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{setpriv.parent}:{os.environ['PATH']}")
    sha = repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        assert (await mirror.fetch()).sha == sha

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
