"""One thread that owns the one connection to the database, and does what it is told in order.

SQLite before 3.51.3 can damage a file when two connections write to it; with one connection and one thread
that cannot happen, and no step ever waits for a lock. Steps that are waiting when the thread gets to them
share a transaction, hence a flush to the disk; a step that fails takes back its own writes only.
"""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from reconciler.store.unusable import StoreUnusable, explain

T = TypeVar("T")
Step = Callable[[Connection], T]

MOST_TOGETHER = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    step: Step[Any]
    future: "Future[Any] | None"
    """None for a step nobody waits for."""
    quietly: bool = False
    """Nothing that others have to be told of."""


class Writer:
    def __init__(self, connect: Callable[[], Connection], changed: Callable[[], None]) -> None:
        """`changed` is called in the thread, after what may have changed something became durable."""
        self._connect = connect
        self._changed = changed
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._closed = False

    def start(self) -> "Future[None]":
        """Connect in the thread; the future tells how that went."""
        self._thread.start()
        return self._ready

    def submit(self, step: Step[T], *, quietly: bool = False) -> "Future[T]":
        future: Future[T] = Future()
        self._put(_Job(step, future, quietly))
        return future

    def later(self, step: Step[object]) -> None:
        self._put(_Job(step, None))

    def stop(self) -> None:
        """Do what is waiting, then let go of the database."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _put(self, job: _Job) -> None:
        if self._closed:
            raise StoreUnusable("The journal is closed.", "Start the server again.")
        self._jobs.put(job)

    def _run(self) -> None:
        try:
            connection = self._connect()
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        try:
            while jobs := self._next():
                _carry_out(connection, jobs)
                if not all(job.quietly for job in jobs):
                    self._changed()
        finally:
            with suppress(Exception):
                connection.close()
                connection.engine.dispose()

    def _next(self) -> list[_Job]:
        """The jobs that wait now, at least one; none when it is time to stop."""
        job = self._jobs.get()
        jobs: list[_Job] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) >= MOST_TOGETHER:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        if job is None and jobs:
            self._jobs.put(None)
        return jobs


def _carry_out(connection: Connection, jobs: list[_Job]) -> None:
    """All jobs in one transaction, each able to fail alone."""
    answers: list[tuple[_Job, Any, BaseException | None]] = []
    try:
        with connection.begin():
            for job in jobs:
                answers.append((job, *_try(connection, job, alone=len(jobs) == 1)))
    except BaseException as error:
        # Nothing of this became durable, whatever the single steps thought.
        answers = [(job, None, error) for job in jobs]
    for job, answer, trouble in answers:
        _tell(job, answer, trouble)


def _try(connection: Connection, job: _Job, *, alone: bool) -> tuple[Any, BaseException | None]:
    if alone:
        return job.step(connection), None
    try:
        with connection.begin_nested():
            return job.step(connection), None
    except Exception as error:
        return None, error


def _tell(job: _Job, answer: Any, trouble: BaseException | None) -> None:
    explained = explain(trouble) if trouble is not None else None
    if job.future is None:
        if explained is not None:
            _log.error("a late entry of the journal was lost", exc_info=explained)
    elif explained is not None:
        job.future.set_exception(explained)
    else:
        job.future.set_result(answer)
