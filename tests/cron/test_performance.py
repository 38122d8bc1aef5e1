"""Carrying out one run: by a real HTTP request on a real socket, with workers that come and go at the wrong moment."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.control.cron.performance import NotBegun, perform
from reconciler.model.job import Job
from reconciler.model.run import Cause, Outcome, RunState, run_id
from reconciler.store.rows import RunRow
from tests.cron.simulation import NOON, TASKS
from tests.cron.test_timetable import job
from tests.waiting import until

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
LEAVES = (
    b"HTTP/1.1 503 Service Unavailable\r\nX-Reconciler-Not-Taken: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
RUN = RunRow(
    id=run_id(TASKS, "tidy", NOON),
    service=TASKS,
    job="tidy",
    cause=Cause.SCHEDULE,
    actor=None,
    scheduled_at=NOON,
    state=RunState.RUNNING,
    release=None,
    began_at=NOON,
)


@dataclass
class Release:
    """One that has a worker, or none, behind a socket on which somebody listens, or nobody."""

    socket: Path
    ready: list[Any] = field(default_factory=list)
    serves: bool = True
    asked: list[bytes] = field(default_factory=list)
    leaves: bool = False
    """Its worker has been told to go, and takes nothing more."""

    def has_worker(self) -> None:
        self.ready.append(SimpleNamespace(sockets=SimpleNamespace(private=self.socket)))

    async def listen(self) -> asyncio.AbstractServer:
        return await asyncio.start_unix_server(self._answer, self.socket)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.leaves:
            writer.write(LEAVES)
            writer.close()
            self.serves = False
            return
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)
        writer.close()

    async def perform(self, job: Job) -> Outcome:
        live: Any = SimpleNamespace(
            release="tasks-1", crew=self, recipe=SimpleNamespace(service=TASKS, prefix="/api/tasks")
        )
        return await perform(job, RUN, live, lambda: self.serves)


def play(tmp_path: Path, scenario: Callable[[Release], Awaitable[None]]) -> None:
    release = Release(tmp_path / "private")
    asyncio.run(asyncio.wait_for(scenario(release), 20))


def test_a_request_carries_the_name_and_the_time_of_its_run(tmp_path: Path) -> None:
    async def scenario(release: Release) -> None:
        release.has_worker()
        async with await release.listen():
            assert await release.perform(job()) == Outcome(RunState.DONE, "answered 204")
        (asked,) = release.asked
        assert asked.startswith(b"POST /api/tasks/tidy HTTP/1.1\r\n")
        assert b"x-request-id: tasks.tidy.20261120t1200z" in asked.lower()
        assert b"x-reconciler-scheduled: 2026-11-20t12:00:00z" in asked.lower()

    play(tmp_path, scenario)


def test_a_worker_that_is_gone_by_then_is_waited_for_until_there_is_another(tmp_path: Path) -> None:
    async def scenario(release: Release) -> None:
        release.has_worker()
        performing = asyncio.create_task(release.perform(job()))
        await asyncio.sleep(0)
        async with await release.listen():
            assert (await performing).state is RunState.DONE
        assert len(release.asked) == 1

    play(tmp_path, scenario)


@pytest.mark.parametrize("has_worker", [True, False], ids=["nobody listens", "nobody is ready"])
def test_what_nobody_was_asked_for_is_given_back_when_the_traffic_is_anothers(tmp_path: Path, has_worker: bool) -> None:
    async def scenario(release: Release) -> None:
        if has_worker:
            release.has_worker()
        performing = asyncio.create_task(release.perform(job()))
        await asyncio.sleep(0)
        release.serves = False
        await until(performing.done, what="an answer")
        with pytest.raises(NotBegun):
            performing.result()

    play(tmp_path, scenario)


def test_what_a_worker_that_has_to_go_did_not_take_is_given_back(tmp_path: Path) -> None:
    async def scenario(release: Release) -> None:
        release.has_worker()
        release.leaves = True
        async with await release.listen():
            with pytest.raises(NotBegun):
                await release.perform(job())

    play(tmp_path, scenario)


def test_a_release_without_a_worker_fails_the_run_when_its_time_is_over(tmp_path: Path) -> None:
    async def scenario(release: Release) -> None:
        told = await release.perform(job(timeout=0.1))
        assert told == Outcome(RunState.FAILED, "no worker of tasks-1 was ready")

    play(tmp_path, scenario)
