"""What nobody waits for is done at once, shares a flush with what comes next, and is neither lost nor in the way."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine, text

from reconciler.store.writer import Step, Writer

FLUSHED = "flushed"


class Diary:
    """A writer on a database in memory, and what became of it, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._grown = threading.Condition()
        self.writer = Writer(create_engine("sqlite://").connect, lambda: self._note(FLUSHED))
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
def diary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Diary]:
    monkeypatch.setattr("reconciler.store.writer.PATIENCE", 600)
    diary = Diary()
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
