"""The poll against a real repository; the loop is a stand-in that says what became of its syncs."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.control.pace import Pace
from reconciler.control.poll import Looking
from reconciler.model.failure import Failure, Reason, Stalled, Wait
from reconciler.source.mirror import Mirror
from reconciler.store.unusable import StoreUnusable
from tests.end_to_end.repository import Repository


class Loop:
    def __init__(self) -> None:
        self.seen = SimpleNamespace(trouble=None, attempted=None)
        self.triggers = self
        self.asked = 0
        self.refuses = False

    async def ask(self, _kind: str, _actor: str) -> None:
        if self.refuses:
            raise StoreUnusable("The disk is full.", "Make room.")
        self.asked += 1

    async def follow(self, mirror: Mirror) -> None:
        self.seen.attempted = str(await mirror.fetch())

    def source_failed(self, failure: Failure) -> None:
        self.seen.trouble = failure


Scenario = Callable[[Repository, Mirror, Loop, Looking], Awaitable[None]]


@pytest.fixture
def look(tmp_path: Path) -> Callable[[Scenario], None]:
    repository = Repository(tmp_path / "repository")
    repository.commit({"services.yaml": "version: 1\n"})

    async def play(scenario: Scenario) -> None:
        mirror = Mirror(str(repository.path), "main", tmp_path / "mirror.git")
        await mirror.open()
        try:
            loop: Any = Loop()
            await loop.follow(mirror)
            await scenario(repository, mirror, loop, Looking(loop, mirror, Pace(60.0)))
        finally:
            await mirror.close()

    return lambda scenario: asyncio.run(play(scenario))


def test_a_quiet_repository_is_asked_nothing(look: Callable[[Scenario], None]) -> None:
    async def scenario(repository: Repository, _mirror: Mirror, loop: Loop, looking: Looking) -> None:
        await looking.once()
        assert loop.asked == 0
        repository.commit({})
        await looking.once()
        assert (loop.asked, looking.failures) == (1, 0)

    look(scenario)


def test_a_commit_that_a_plan_has_fetched_is_asked_for_until_a_sync_has_met_it(
    look: Callable[[Scenario], None],
) -> None:
    async def scenario(repository: Repository, mirror: Mirror, loop: Loop, looking: Looking) -> None:
        repository.commit({})
        await mirror.fetch()
        await looking.once()
        assert loop.asked == 1
        await loop.follow(mirror)
        await looking.once()
        assert loop.asked == 1

    look(scenario)


def test_a_sync_of_its_own_that_fails_is_asked_for_ever_more_rarely(look: Callable[[Scenario], None]) -> None:
    async def scenario(repository: Repository, mirror: Mirror, loop: Loop, looking: Looking) -> None:
        repository.commit({})
        await looking.once()
        loop.seen.trouble = Wait(Reason.SOURCE_UNAVAILABLE, "not now", after=7.0)
        for times in (1, 2, 3):
            await looking.once()
            assert (loop.asked, looking.failures, looking.trouble) == (1 + times, times, loop.seen.trouble)
        loop.seen.trouble = None
        await loop.follow(mirror)
        await looking.once()
        assert (loop.asked, looking.failures) == (4, 0)

    look(scenario)


def test_a_branch_that_is_gone_is_a_failure(look: Callable[[Scenario], None]) -> None:
    async def scenario(repository: Repository, mirror: Mirror, loop: Loop, looking: Looking) -> None:
        repository.git("branch", "--move", "main", "elsewhere")
        for times in (0, 1, 2):
            await looking.once()
            assert looking.failures == times
            with pytest.raises(Failure) as raised:
                await mirror.fetch()
            loop.seen.trouble = raised.value

    look(scenario)


def test_what_only_a_commit_can_mend_waits_for_one(look: Callable[[Scenario], None]) -> None:
    async def scenario(repository: Repository, mirror: Mirror, loop: Loop, looking: Looking) -> None:
        loop.seen.trouble = Stalled(Reason.MANIFEST_INVALID, "services.yaml is wrong")
        for _ in range(3):
            await looking.once()
        assert loop.asked == 0
        repository.commit({})
        await looking.once()
        assert loop.asked == 1

    look(scenario)


def test_a_source_that_answers_again_is_asked_even_if_it_has_nothing_new(look: Callable[[Scenario], None]) -> None:
    async def scenario(repository: Repository, _mirror: Mirror, loop: Loop, looking: Looking) -> None:
        away = repository.path.with_name("away")
        repository.path.rename(away)
        await looking.once()
        assert (loop.asked, looking.failures) == (0, 1)
        assert loop.seen.trouble is looking.trouble is not None
        away.rename(repository.path)
        await looking.once()
        assert loop.asked == 1

    look(scenario)


def test_a_full_disk_does_not_end_the_poll(look: Callable[[Scenario], None]) -> None:
    async def scenario(repository: Repository, _mirror: Mirror, loop: Loop, looking: Looking) -> None:
        repository.commit({})
        loop.refuses = True
        await looking.once()
        assert (loop.asked, looking.failures) == (0, 1)
        loop.refuses = False
        await looking.once()
        assert loop.asked == 1

    look(scenario)
