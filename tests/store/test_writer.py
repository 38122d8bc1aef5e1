"""What nobody waits for is done at once, shares a flush with what comes next, and is neither lost nor in the way."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from reconciler.store.line import MOST
from reconciler.store.opening import open_database
from reconciler.store.unusable import StoreUnusable
from reconciler.store.writer import Step, Writer

FLUSHED = "flushed"


class Diary:
    """A writer on a database, and what became of it, in order."""

    def __init__(self, path: Path) -> None:
        self.lines: list[str] = []
        self._grown = threading.Condition()
        self.writer = Writer(lambda: open_database(path), lambda: self._note(FLUSHED))
        self.writer.start().result(60)
        self.writer.submit(lambda connection: connection.execute(text("CREATE TABLE said (what TEXT)"))).result(60)
        self.wait_for([FLUSHED])
        self.lines.clear()

    def _note(self, line: str) -> None:
        with self._grown:
            self.lines.append(line)
            self._grown.notify_all()

    def wait_for(self, lines: list[str]) -> None:
        with self._grown:
            assert self._grown.wait_for(lambda: self.lines[: len(lines)] == lines, 60), self.lines

    def saying(self, what: str) -> Step[str]:
        def say(connection: Connection) -> str:
            connection.execute(text("INSERT INTO said VALUES (:what)"), {"what": what})
            self._note(what)
            return what

        return say

    def said(self) -> list[str]:
        return self.writer.submit(lambda connection: list(connection.scalars(text("SELECT what FROM said")))).result(60)


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Diary]:
    monkeypatch.setattr("reconciler.store.writer.PATIENCE", 600)
    diary = Diary(tmp_path / "journal.db")
    yield diary
    diary.writer.stop()


def failing(_: Connection) -> None:
    raise ValueError("a mistake")


def test_a_note_is_done_at_once_and_shares_the_next_flush(diary: Diary) -> None:
    diary.writer.later(diary.saying("note"))
    diary.wait_for(["note"])
    diary.writer.later(diary.saying("another"))
    assert diary.writer.submit(diary.saying("step")).result(60) == "step"
    diary.wait_for(["note", "another", "step", FLUSHED])


def test_a_note_that_nobody_follows_is_flushed_in_a_moment(diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.store.writer.PATIENCE", 0.01)
    diary.writer.later(diary.saying("note"))
    diary.wait_for(["note", FLUSHED])


def test_a_note_and_a_step_fail_each_for_itself(diary: Diary) -> None:
    diary.writer.later(diary.saying("note"))
    diary.wait_for(["note"])
    diary.writer.later(failing)
    with pytest.raises(ValueError, match="a mistake"):
        diary.writer.submit(failing).result(60)
    diary.writer.later(failing)
    assert diary.said() == ["note"]


def test_whoever_stops_does_not_wait_for_company(diary: Diary) -> None:
    diary.writer.later(diary.saying("note"))
    diary.wait_for(["note"])
    diary.writer.stop()
    diary.wait_for(["note", FLUSHED])


def test_many_notes_are_flushed_though_nobody_waits(diary: Diary) -> None:
    """A crash takes no more along than these."""
    notes = [f"note-{number}" for number in range(MOST)]
    for note in notes:
        diary.writer.later(diary.saying(note))
    diary.wait_for([*notes, FLUSHED])


def test_whoever_shared_a_transaction_with_the_one_that_found_the_disk_full_is_told(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    diary.writer.submit(_leave_little_room).result(60)
    diary.writer.later(diary.saying("note"))
    diary.wait_for([FLUSHED, "note"])
    with pytest.raises(StoreUnusable, match="full"):
        diary.writer.submit(diary.saying("x" * 1_000_000)).result(60)
    assert diary.said() == []
    assert [record.message for record in caplog.records] == ["a late entry of the journal was lost"]
    held = threading.Event()
    diary.writer.submit(lambda _: held.wait(60))
    together = [diary.writer.submit(diary.saying(what)) for what in ("before", "x" * 1_000_000, "after")]
    held.set()
    for one in together:
        with pytest.raises(StoreUnusable, match="full"):
            one.result(60)
    assert diary.writer.submit(diary.saying("small")).result(60) == "small"
    assert diary.said() == ["small"]


def _leave_little_room(connection: Connection) -> None:
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 3}")
