"""What became of a sync is told, and written down as soon as that can be done; the journal is real."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconciler.control.feed import Feed
from reconciler.control.loop import Loop
from reconciler.control.triggers import Triggers
from reconciler.control.veil import Veil
from reconciler.model.failure import Reason, Wait
from reconciler.model.names import SyncId
from reconciler.store.journal import Journal
from reconciler.store.unusable import StoreUnusable
from tests.store.journals import in_journal
from tests.waiting import until


def test_the_end_of_a_sync_is_written_down_when_the_disk_has_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(journal: Journal, loop: Loop, source: Silent) -> None:
        request = await loop.triggers.ask("person", "Ada")
        with pytest.MonkeyPatch.context() as full:
            full.setattr(journal, "write", refuse)
            source.given_up.set()
            await until(loop.first_sync_finished.is_set, what="the end of the sync")
        assert loop.last_sync is None
        row = await until(lambda: loop.last_sync, what="its end in the journal")
        assert row is not None and (row.id, row.state, row.message) == (request.sync, "failed", "no answer")

    monkeypatch.setattr("reconciler.store.insisting.STORE_RETRY", 0.01)
    with_loop(tmp_path, scenario)


def test_who_hangs_up_while_he_asks_has_asked_all_the_same() -> None:
    async def scenario() -> None:
        asked, written = asyncio.Event(), asyncio.Event()

        async def begin(_: str) -> SyncId:
            asked.set()
            await written.wait()
            return SyncId("7")

        triggers = Triggers(begin)
        asking = asyncio.create_task(triggers.ask("push", "Ada"))
        await asked.wait()
        asking.cancel()
        await asyncio.wait([asking])
        written.set()
        async with asyncio.timeout(10):
            assert (await triggers.next()).sync == "7"

    asyncio.run(scenario())


async def refuse(*_: Any, **__: Any) -> None:
    raise StoreUnusable("The disk is full.", "Make room.", may_pass=True)


class Silent:
    """A repository that does not answer."""

    def __init__(self) -> None:
        self.given_up = asyncio.Event()

    async def fetch(self) -> None:
        await self.given_up.wait()
        raise Wait(Reason.SOURCE_UNAVAILABLE, "no answer")


def with_loop(folder: Path, scenario: Callable[[Journal, Loop, Silent], Awaitable[None]]) -> None:
    async def play(journal: Journal) -> None:
        shop: Any = SimpleNamespace(journal=journal, feed=Feed(journal, Veil()))
        source = Silent()
        cron: Any = SimpleNamespace(give_way=lambda is_asked: None)
        nobody: Any = None
        loop = Loop(cast("Any", source), nobody, shop, nobody, nobody, cron)
        running = asyncio.create_task(loop.run())
        try:
            await scenario(journal, loop, source)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    in_journal(folder / "journal.db", play)
