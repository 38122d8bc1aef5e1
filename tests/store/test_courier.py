"""What carries changes away outlives a disk that is full for a moment: file and writer are real, the disk is not."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert
from sqlalchemy.exc import OperationalError

from reconciler.store import spool
from reconciler.store.courier import Courier
from reconciler.store.opening import open_database
from reconciler.store.spool import Spool
from reconciler.store.tables import Source
from reconciler.store.unusable import explain
from reconciler.store.writer import Writer
from tests.store.journals import START
from tests.waiting import until_sync

NAME = "database"


class File:
    """A journal whose disk can be full, as a step meets it that shares its transaction with one that writes."""

    def __init__(self, path: Path) -> None:
        self.is_full = False
        self._path = path
        self._writer = Writer(self._connect, lambda: None)
        self._writer.start().result(30)

    def submit(self, step: Callable[[Connection], Any]) -> "Future[Any]":
        if not self.is_full:
            return self._writer.submit(step)
        refused: Future[Any] = Future()
        refused.set_exception(
            explain(OperationalError("COMMIT", {}, sqlite3.OperationalError("database or disk is full")))
        )
        return refused

    def change(self, revision: str) -> None:
        self._writer.submit(lambda connection: connection.execute(delete(Source))).result(30)
        row = {"id": 1, "attempted": revision, "applied": None, "at": START}
        self._writer.submit(lambda connection: connection.execute(insert(Source), row)).result(30)

    def close(self) -> None:
        self._writer.stop()

    def _connect(self) -> Connection:
        connection = open_database(self._path)
        with connection.begin():
            spool.watch(connection, [NAME])
        return connection


class Receiver:
    place = "somewhere else"

    def __init__(self) -> None:
        self.got: list[str] = []

    def deliver(self, changes: Spool) -> None:
        upto = changes.last()
        for change in changes.after(changes.position(), upto):
            if change.table is Source.__table__ and not change.gone:
                self.got.append(change.row["attempted"])
        changes.delivered(upto)

    def leave(self, changes: Spool) -> None:
        """There is nothing to leave."""

    def close(self) -> None:
        """Nor to close."""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    file = File(tmp_path / "journal.db")
    yield file
    file.close()


def test_a_disk_that_was_full_for_a_moment_does_not_end_the_telling(file: File) -> None:
    receiver = Receiver()
    courier = Courier(NAME, receiver, Spool(file.submit, NAME))
    courier.start()
    try:
        file.change("one")
        courier.wake()
        until_sync(lambda: receiver.got == ["one"], what="the first change")
        file.change("two")
        file.is_full = True
        courier.wake()
        until_sync(lambda: courier.standing.trouble, what="that it says so")
        assert "The disk is full" in str(courier.standing.trouble)
        file.is_full = False
        until_sync(lambda: receiver.got == ["one", "two"] and courier.standing.trouble is None, what="the second")
    finally:
        file.is_full = False
        courier.stop()
