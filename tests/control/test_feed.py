"""Whoever listens hears everything in order, and nobody waits for a listener."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.control import feed as feeds
from reconciler.control.feed import Feed, Listener
from reconciler.control.veil import Veil
from reconciler.model.names import ServiceName
from reconciler.model.notice import Kind, Notice
from reconciler.store.journal import Journal, Transaction
from tests.store.journals import in_journal

TASKS = ServiceName("tasks")


def test_events_and_progress_are_heard_in_the_order_in_which_they_were_told(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        feed = Feed(journal, Veil())
        with feed.listen() as listener:
            for number in range(50):
                feed.happened(Kind.RELEASE_SWITCHED, f"{number}", service=TASKS, data={"number": number})
                feed.passes(Kind.PHASE_BEGAN, f"{number}", service=TASKS)
            heard = [await anext(listener) for _ in range(100)]
        assert [int(notice.message) for notice in heard] == [number for number in range(50) for _ in range(2)]
        assert [notice.id for notice in heard[::2]] == list(range(1, 51))
        assert {notice.id for notice in heard[1::2]} == {None}
        kept = await journal.events(limit=100)
        assert [event.data for event in kept] == [{"number": number} for number in range(50)]

    in_journal(tmp_path / "journal.db", scenario)


def test_one_who_listens_too_late_can_read_what_was_told(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        feed = Feed(journal, Veil())
        feed.happened(Kind.SYNC_STARTED, "early")
        feed.passes(Kind.PHASE_BEGAN, "nobody heard this")
        await feed.settle()
        with feed.listen() as listener:
            feed.happened(Kind.SYNC_STARTED, "late")
            notice = await anext(listener)
        assert [event.message for event in await journal.events()] == ["early", notice.message]

    in_journal(tmp_path / "journal.db", scenario)


def test_of_many_that_wait_more_are_written_down_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(journal: Journal) -> None:
        writings, write = 0, journal.write

        async def counted(step: Callable[[Transaction], list[int]]) -> list[int]:
            nonlocal writings
            writings += 1
            return await write(step)

        monkeypatch.setattr(journal, "write", counted)
        feed = Feed(journal, Veil())
        for number in range(1_000):
            feed.happened(Kind.SYNC_STARTED, f"{number}")
        await feed.settle()
        monkeypatch.undo()
        assert writings < 1_000 // feeds.MOST_TOGETHER * 3 // 4
        assert [event.message for event in await journal.events(limit=2_000)] == [f"{n}" for n in range(1_000)]

    in_journal(tmp_path / "journal.db", scenario)


def test_an_event_that_cannot_be_told_takes_no_other_along(tmp_path: Path) -> None:
    def written(notice: Notice) -> None:
        if notice.message == "2":
            raise ValueError("a bug")
        seen.append(notice.message)

    seen: list[str] = []

    async def scenario(journal: Journal) -> None:
        feed = Feed(journal, Veil())
        feed._veil.plain = lambda data: data  # type: ignore[method-assign,assignment]
        with feed.listen() as listener:
            for number in range(6):
                data = {"number": object() if number == 4 else number}
                feed.happened(Kind.RELEASE_SWITCHED, f"{number}", service=TASKS, data=data, written=written)
            heard = [await anext(listener) for _ in range(6)]
        assert [notice.message for notice in heard] == ["0", "1", "2", "3", "4", "5"]
        assert [event.message for event in await journal.events()] == ["0", "1", "2", "3", "5"]
        assert seen == ["0", "1", "3", "5"]

    in_journal(tmp_path / "journal.db", scenario)


def test_who_only_watches_hears_at_once_and_in_order(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        feed = Feed(journal, Veil())
        with feed.listen(early=True) as early, feed.listen() as listener:
            for number in range(3):
                feed.happened(Kind.RELEASE_SWITCHED, f"{number}", service=TASKS)
                feed.passes(Kind.PHASE_BEGAN, f"{number}", service=TASKS)
            heard = [await anext(early) for _ in range(6)]
            assert [notice.id for notice in heard] == [None] * 6, "nothing is written down yet"
            assert [int(notice.message) for notice in heard] == [0, 0, 1, 1, 2, 2]
            assert (await anext(listener)).id == 1
        feed.passes(Kind.PHASE_BEGAN, "nobody hears this")

    in_journal(tmp_path / "journal.db", scenario)


def test_a_listener_that_does_not_keep_up_is_told_how_much_it_missed(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        feed = Feed(journal, Veil())
        with feed.listen() as slow, feed.listen() as quick:
            told = feeds.MOST_WAITING + 7

            async def hear() -> int:
                return len([await anext(quick) for _ in range(told)])

            hearing = asyncio.create_task(hear())
            for number in range(told):
                feed.passes(Kind.PHASE_BEGAN, f"{number}")
                await asyncio.sleep(0)
            await feed.settle()
            assert await hearing == told
            assert (await anext(slow)).message == "7"
            assert slow.missed == 7

    in_journal(tmp_path / "journal.db", scenario)


def test_what_cannot_be_written_down_is_told_all_the_same(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        feed, written = Feed(journal, Veil()), list[Notice]()
        await journal.close()
        with feed.listen() as listener:
            feed.happened(Kind.SYNC_FINISHED, "the disk is full", written=written.append)
            notice = await anext(listener)
        assert (notice.id, notice.message, written) == (None, "the disk is full", [])

    in_journal(tmp_path / "journal.db", scenario)


def test_one_that_left_hears_nothing_more(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        feed = Feed(journal, Veil())
        with feed.listen() as gone:
            pass
        with feed.listen() as listener:
            feed.passes(Kind.PHASE_BEGAN, "after it left")
            await anext(listener)
        hearing = asyncio.create_task(_hear(gone))
        await asyncio.sleep(0)
        assert not hearing.done()
        hearing.cancel()

    in_journal(tmp_path / "journal.db", scenario)


async def _hear(listener: Listener) -> Notice:
    return await anext(listener)


def test_a_witness_sees_all_of_it_at_once_and_stops_nothing_when_it_breaks(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        feed = Feed(journal, Veil())
        seen: list[str] = []
        feed.witness = lambda notice: seen.append(notice.message)
        feed.happened(Kind.SYNC_STARTED, "kept")
        feed.passes(Kind.PHASE_BEGAN, "heard by nobody else")
        assert seen == ["kept", "heard by nobody else"]
        feed.witness = lambda notice: 1 // 0
        feed.happened(Kind.SYNC_STARTED, "kept all the same")
        await feed.settle()
        assert [event.message for event in await journal.events()] == ["kept", "kept all the same"]

    in_journal(tmp_path / "journal.db", scenario)
