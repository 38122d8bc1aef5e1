"""One thread that owns the one connection to the database, and does what it is told in order.

SQLite before 3.51.3 can damage a file when two connections write to it; with one connection and one thread
that cannot happen, and no step ever waits for a lock. Steps that are waiting when the thread gets to them
share a transaction, hence a flush to the disk; a step that fails takes back its own writes only. Those that nobody
waits for are done at once and share the flush of the next that somebody waits for, if it comes in a moment.
A step for which somebody outside waits, and which does not build upon those before it, goes ahead of a thousand notes.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from reconciler.store.line import MOST, Line
from reconciler.store.unusable import StoreUnusable, explain

T = TypeVar("T")
Step = Callable[[Connection], T]

PATIENCE = 0.02
"""Seconds. More than lies between two steps of a switch, and less than anybody takes for lost."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    step: Step[Any]
    future: "Future[Any] | None"
    """None for a step nobody waits for."""
    quietly: bool = False
    """Nothing that others have to be told of."""


_Answer = tuple[_Job, Any, BaseException | None]


class Writer:
    def __init__(self, connect: Callable[[], Connection], changed: Callable[[], None]) -> None:
        """`changed` is called in the thread, after what may have changed something became durable."""
        self._connect = connect
        self._changed = changed
        self._jobs: Line[_Job] = Line()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._closed = False

    def start(self) -> "Future[None]":
        """Connect in the thread; the future tells how that went."""
        self._thread.start()
        return self._ready

    def submit(self, step: Step[T], *, quietly: bool = False, ahead: bool = False) -> "Future[T]":
        future: Future[T] = Future()
        self._put(_Job(step, future, quietly), ahead=ahead)
        return future

    def later(self, step: Step[object]) -> None:
        self._put(_Job(step, None))

    def stop(self) -> None:
        """Do what is waiting, then let go of the database."""
        if not self._closed:
            self._closed = True
            self._jobs.end()
        if self._thread.is_alive():
            self._thread.join()

    def _put(self, job: _Job, *, ahead: bool = False) -> None:
        if self._closed:
            raise StoreUnusable("The journal is closed.", "Start the server again.")
        self._jobs.put(job, ahead=ahead)

    def _run(self) -> None:
        try:
            connection = self._connect()
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        try:
            while jobs := self._jobs.take():
                done = self._carry_out(connection, jobs)
                if not all(job.quietly for job in done):
                    self._changed()
        finally:
            with suppress(Exception):
                connection.close()
                connection.engine.dispose()

    def _carry_out(self, connection: Connection, jobs: list[_Job]) -> list[_Job]:
        """Jobs in one transaction. Where nobody waits for any, it stays open a moment for one that is waited for."""
        answers: list[_Answer] = []
        until = time.monotonic() + PATIENCE
        try:
            with connection.begin():
                self._do(connection, jobs, answers)
                while _has_room(answers) and (jobs := self._jobs.take(max(0.0, until - time.monotonic()))):
                    self._do(connection, jobs, answers)
        except BaseException as error:
            # Nothing of this became durable, whatever the single steps thought.
            answers = [(job, None, error) for job in dict.fromkeys([*_jobs(answers), *jobs])]
        for job, answer, trouble in answers:
            _tell(job, answer, trouble)
        return _jobs(answers)

    def _do(self, connection: Connection, jobs: list[_Job], answers: list[_Answer]) -> None:
        """Each able to fail alone; all of them, unless somebody is in a hurry."""
        alone = len(jobs) == 1 and not answers
        for done, job in enumerate(jobs):
            if self._jobs.is_urged(done):
                self._jobs.put_back(jobs[done:])
                del jobs[done:]
                break
            answers.append((job, *_try(connection, job, alone=alone)))


def _has_room(answers: list[_Answer]) -> bool:
    """Nobody waits for any of it, and a crash would not take much along."""
    return len(answers) < MOST and not any(job.future is not None for job in _jobs(answers))


def _jobs(answers: list[_Answer]) -> list[_Job]:
    return [job for job, _, _ in answers]


def _try(connection: Connection, job: _Job, *, alone: bool) -> tuple[Any, BaseException | None]:
    if alone:
        return job.step(connection), None
    point = connection.begin_nested()
    try:
        answer = job.step(connection)
        point.commit()
    except Exception as error:
        if not _is_open(connection):
            # The disk is full: SQLite has taken back everything, the steps before included.
            raise
        point.rollback()
        return None, error
    return answer, None


def _is_open(connection: Connection) -> bool:
    driver = connection.connection.driver_connection
    return isinstance(driver, sqlite3.Connection) and driver.in_transaction


def _tell(job: _Job, answer: Any, trouble: BaseException | None) -> None:
    explained = explain(trouble) if trouble is not None else None
    if job.future is None:
        if explained is not None:
            _log.error("a late entry of the journal was lost", exc_info=explained)
    elif explained is not None:
        job.future.set_exception(explained)
    else:
        job.future.set_result(answer)
