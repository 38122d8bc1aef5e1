"""The hosted repository, as a sync meets it; pushing to it is tested through the real door."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from reconciler.model.names import ObjectId
from reconciler.source import hosted as module
from reconciler.source.hosted import Hosted
from tests.source.repositories import Repository, git
from tests.waiting import until

TASKS = "services/tasks/router.py"


class Stage:
    """A hosted repository, somebody who pushes to it by its path, and what was said of its history."""

    def __init__(self, folder: Path) -> None:
        self.hosted = Hosted(folder / "git", "services", "main", "http://127.0.0.1:1")
        self.pusher = Repository(folder / "pusher")
        self.rewritten: list[tuple[ObjectId, ObjectId]] = []
        self.hosted.on_rewritten = lambda old, new: self.rewritten.append((old, new))

    def push(self, content: bytes, *words: str) -> ObjectId:
        sha = self.pusher.push({TASKS: content})
        git(self.pusher.folder, "push", "--quiet", *words, str(self.hosted.folder), "main")
        return sha

    @property
    def packs(self) -> int:
        return len(list(self.hosted.folder.glob("objects/pack/*.pack")))


Scenario = Callable[[Stage], Awaitable[None]]
Played = Callable[[Scenario], None]


@pytest.fixture
def played(tmp_path: Path) -> Played:
    def play(scenario: Scenario) -> None:
        async def whole() -> None:
            stage = Stage(tmp_path)
            await stage.hosted.open()
            git(stage.hosted.folder, "config", "receive.unpackLimit", "1")
            try:
                await scenario(stage)
            finally:
                await stage.hosted.close()

        asyncio.run(whole())

    return play


def test_many_pushes_do_not_leave_many_packs(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PACKS", 4)
    monkeypatch.setattr(module, "TENDED_AFTER", 0.0)

    async def scenario(stage: Stage) -> None:
        old = stage.push(b"first")
        tree = stage.hosted.tree(old)
        for number in range(6):
            stage.push(str(number).encode())
        assert stage.packs > 4
        await stage.hosted.fetch()
        await until(lambda: stage.packs <= 4, what="packs put together")
        assert tree.blob(TASKS, 100) == b"first"
        assert stage.hosted.tree(stage.hosted.tip or old).blob(TASKS, 100) == b"5"

    played(scenario)


def test_packs_that_cannot_be_put_together_leave_nothing_of_the_try(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PACKS", 2)
    monkeypatch.setattr(module, "TENDED_AFTER", 0.0)
    monkeypatch.setattr(module, "Bounds", partial(module.Bounds, pack_bytes=150_000))

    async def scenario(stage: Stage) -> None:
        for _ in range(3):
            stage.push(os.urandom(200_000))
        await stage.hosted.fetch()
        await until(lambda: not stage.hosted._beside, what="the end of the try")
        assert stage.packs == 3, "together they are larger than a file may be"
        assert not [path for path in stage.hosted.folder.glob("objects/pack/*") if "tmp" in path.name]

    played(scenario)


def test_only_a_rewritten_history_is_said_to_be_one(played: Played) -> None:
    async def scenario(stage: Stage) -> None:
        stage.push(b"first")
        await stage.hosted.fetch()
        first = stage.push(b"one more")
        await stage.hosted.fetch()
        stage.pusher.push({TASKS: b"one of two"})
        second = stage.push(b"two of two")
        await stage.hosted.fetch()
        stage.pusher.point(first)
        other = stage.push(b"instead of two", "--force")
        await stage.hosted.fetch()
        await until(lambda: bool(stage.rewritten), what="the word of it")
        assert stage.rewritten == [(second, other)]

    played(scenario)
