"""A history that was rewritten is an event with both ends of it."""

from pathlib import Path

import pytest

from reconciler.control.feed import Feed
from reconciler.control.rewritten import say_rewritten
from reconciler.control.veil import Veil
from reconciler.model.names import ObjectId
from reconciler.store.journal import Journal
from tests.store.journals import in_journal


def test_both_ends_are_written_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(journal: Journal) -> None:
        feed = Feed(journal, Veil())
        say_rewritten(feed, "main", ObjectId("a" * 40), ObjectId("b" * 40))
        await feed.settle()
        (event,) = await journal.events()
        assert (event.kind, event.service) == ("HistoryRewritten", None)
        assert event.message == "main was rewritten: aaaaaaaa -> bbbbbbbb"

    in_journal(tmp_path / "journal.db", scenario)
    assert "main was rewritten" in caplog.text
