"""What became of a sync is told, and written down as soon as that can be done; the journal is real."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.control.feed import Feed
from reconciler.control.loop import Loop
from reconciler.control.veil import Veil
from reconciler.model.failure import Reason, Wait
from reconciler.store.journal import Journal
from reconciler.store.unusable import StoreUnusable
from tests.store.journals import in_journal
from tests.waiting import until


def test_the_end_of_a_sync_is_written_down_when_the_disk_has_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(journal: Journal, loop: Loop) -> None:
        request = await loop.triggers.ask("person", "Ada")
        with pytest.MonkeyPatch.context() as full:
            full.setattr(journal, "write", refuse)
            await until(loop.first_sync_finished.is_set, what="the end of the sync")
        assert loop.last_sync is None
        row = await until(lambda: loop.last_sync, what="its end in the journal")
        assert row is not None and (row.id, row.state, row.message) == (request.sync, "failed", "no answer")

    monkeypatch.setattr("reconciler.store.insisting.STORE_RETRY", 0.01)
    with_loop(tmp_path, scenario)


async def refuse(*_: Any, **__: Any) -> None:
    raise StoreUnusable("The disk is full.", "Make room.", may_pass=True)


class Silent:
    """A repository that does not answer."""

    async def fetch(self) -> None:
        raise Wait(Reason.SOURCE_UNAVAILABLE, "no answer")


def with_loop(folder: Path, scenario: Callable[[Journal, Loop], Awaitable[None]]) -> None:
    async def play(journal: Journal) -> None:
        shop: Any = SimpleNamespace(journal=journal, feed=Feed(journal, Veil()))
        source: Any = Silent()
        cron: Any = SimpleNamespace(give_way=lambda is_asked: None)
        nobody: Any = None
        loop = Loop(source, nobody, shop, nobody, nobody, cron)
        running = asyncio.create_task(loop.run())
        try:
            await scenario(journal, loop)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    in_journal(folder / "journal.db", play)
