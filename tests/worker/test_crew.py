"""Crews over real zygotes, which are killed, stopped and missing at the wrong moments."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconciler.model.failure import Stalled, Wait
from reconciler.model.names import ReleaseId, WorkerId
from reconciler.worker import worker as workers
from reconciler.worker.crew import CRASH_WINDOW, CRASHES, Crew
from reconciler.worker.engine import LocalEngine
from reconciler.worker.forked import Forked, start_time
from reconciler.worker.spec import WorkerSockets
from reconciler.worker.worker import Worker
from tests.end_to_end.processes import name_of
from tests.inside.stage import paused
from tests.waiting import until
from tests.worker.stage import GOOD, Place, scene

HANGS = "import time\ntime.sleep(600)\n"


def test_a_start_that_is_called_off_during_the_fork_leaves_no_worker() -> None:
    async def scenario(place: Place) -> None:
        zygote = await place.warm()
        with paused(zygote):
            starting = asyncio.create_task(place.crew(GOOD).start())
            await until(lambda: len(place.book.intended) == 2, what="the intent")
            await asyncio.sleep(0)
            starting.cancel()
            await asyncio.wait([starting])
        await until(lambda: place.book.ended == place.book.intended, what="the books")
        await until(lambda: not list(place.run.glob("w-*")), what="the end of its socket")
        (stem,) = children(zygote)
        await until(lambda: {name_of(child) for child in children(stem)} <= {"spare", ""}, what="the end of the worker")

    scene(scenario)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_zygote_that_dies_over_a_fork_says_so() -> None:
    async def scenario(place: Place) -> None:
        zygote = await place.warm()
        with paused(zygote):
            starting = asyncio.create_task(place.crew(GOOD).start())
            await until(lambda: len(place.book.intended) == 2, what="the intent")
            os.kill(zygote, signal.SIGKILL)
        with pytest.raises(Wait, match="ended before it could fork"):
            await starting

    scene(scenario)


def test_an_environment_that_is_gone_is_no_bug() -> None:
    async def scenario(place: Place) -> None:
        with pytest.raises(Wait, match="could not be started"):
            await place.crew(GOOD, python=place.folder / "gone" / "python").start()

    scene(scenario)


@pytest.mark.parametrize("source", [HANGS, "import absent\n"], ids=["hangs", "fails"])
def test_a_worker_that_never_was_ready_is_written_off(source: str) -> None:
    async def scenario(place: Place) -> None:
        await place.warm()
        crew = place.crew(source, timeout=0.3)
        crew.adopt([], asyncio.Semaphore(1))
        await until(lambda: len(place.book.ended) > 2, what="two tries")
        await crew.discard()
        assert place.book.ended == place.book.intended[: len(place.book.ended)]
        assert not crew.workers
        await until(lambda: not any(process.runs() for process in place.book.processes), what="the end of all")

    scene(scenario)


def test_no_worker_has_the_name_of_another_while_its_release_is_restarted() -> None:
    async def scenario(place: Place) -> None:
        engine, spec = LocalEngine(place.means), place.crew(GOOD).spec
        old = await engine.start(spec)
        (first,) = old.workers
        new = await engine.start(spec, used=1)
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: old.ready and old.ready[0].pid != first.pid, what="another worker")
        assert [int(worker.rpartition(".")[2]) for worker in place.book.intended] == [1, 2, 3]
        await old.discard()
        assert new.ready, "the end of the one is not the end of the other"
        await new.discard()

    scene(scenario)


def test_a_worker_that_dies_is_replaced_although_nothing_can_be_written() -> None:
    async def scenario(place: Place) -> None:
        crew = place.crew(GOOD)
        await crew.start()
        first = crew.workers[0]
        place.book.is_full = True
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: crew.ready and crew.ready[0].pid != first.pid, what="another worker")
        await until(lambda: crew.restarts == 1, what="its keeper to note it")
        await crew.discard()

    scene(scenario)


def test_a_worker_that_ignores_the_end_of_its_drain_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "GRACE", 0.2)
    monkeypatch.setattr(workers, "EXIT_KNOWN_WITHIN", 30.0)
    deaf = (
        "import contextlib, signal, time\n"
        "from fastapi import FastAPI\n"
        "@contextlib.asynccontextmanager\n"
        "async def stays(app):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    yield\n"
        "    time.sleep(600)\n"
        "router = FastAPI(lifespan=stays)\n"
    )

    async def scenario(place: Place) -> None:
        crew = place.crew(deaf)
        await crew.start()
        (worker,) = crew.workers
        os.kill(worker.pid, signal.SIGTERM)
        end = await worker.retire(0.1)
        assert end.killed_by == signal.SIGKILL, end
        await crew.discard()

    scene(scenario)


def test_a_crew_that_calmed_down_is_not_in_a_crash_loop() -> None:
    async def scenario(place: Place) -> None:
        crew = place.crew(GOOD)
        crew.crashes = [time.monotonic()] * CRASHES
        assert crew.crash_looping
        crew.crashes = [time.monotonic() - CRASH_WINDOW] * CRASHES
        assert not crew.crash_looping

    scene(scenario)


def test_what_one_worker_imported_the_next_one_finds() -> None:
    async def scenario(place: Place) -> None:
        source = "import pygments.lexers\n" + GOOD
        first = place.crew(source)
        await first.start()
        # Told right after the word that it is ready.
        await until(lambda: "pygments" in first.workers[0].modules, what="what it imported")

        for _ in range(100):
            second = place.crew(source)
            await second.start()
            (worker,) = second.workers
            await second.discard()
            if "pygments" not in worker.modules:
                break
        else:
            raise AssertionError("the zygote has not learnt it")
        await first.discard()

    scene(scenario)


ASKED = """
import os
from fastapi import APIRouter
router = APIRouter()

def candidate():
    return os.environ.get("RECONCILER_CANDIDATE")
"""


async def is_candidate(crew: Crew) -> bool:
    """As its service sees it."""
    (worker,) = crew.ready
    told = await worker.call(f"asked-{time.monotonic_ns()}", "router:candidate", {}, 10.0)
    return told.message == "returned '1'"


def test_a_service_can_tell_at_any_time_whether_its_release_has_the_traffic() -> None:
    async def scenario(place: Place) -> None:
        crew = place.crew(ASKED)
        await crew.start(candidate=True)
        assert await is_candidate(crew)
        crew.take_over()
        assert not await is_candidate(crew)
        crew.park()
        assert await is_candidate(crew)
        before = crew.ready[0]
        before.kill()
        await until(lambda: bool(crew.ready) and crew.ready[0] is not before, what="another in its place")
        assert await is_candidate(crew), "one that is replaced while its release is parked waits, too"
        crew.resume()
        assert not await is_candidate(crew)
        await crew.discard()

    scene(scenario)


ODD = """
import json, socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
client, _ = listener.accept()
client.sendall(sys.argv[2].encode() + b"\\n")
time.sleep(600)
"""


@pytest.mark.parametrize("said", ['{"op":"state","state":"stopped","cut":[1]}', '{"op":"stats","requests":[]}', "[]"])
def test_a_worker_that_says_odd_things_is_ended(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.worker.worker.FAREWELL", 0.1)

    async def scenario(place: Place) -> None:
        sockets = WorkerSockets.fresh(place.run)
        command = [sys.executable, "-S", "-c", ODD, str(sockets.control), said]
        with subprocess.Popen(command) as process:  # noqa: ASYNC220 - it returns at once
            await until(sockets.control.exists, what="its socket")
            started = start_time(process.pid)
            worker = Worker(WorkerId("tasks-1.1"), ReleaseId("tasks-1"), sockets, process.pid, started)
            await worker.watch(None)
            counting = asyncio.create_task(worker.answers())
            try:
                await asyncio.wait_for(worker.gone(), 30)
            finally:
                counting.cancel()
                await asyncio.wait([counting])
                process.kill()
        assert process.returncode == -signal.SIGKILL

    scene(scenario)


def test_a_worker_without_a_pid_is_never_anybody_else() -> None:
    """0 would be our own process group."""
    Forked(0, "").kill()


def test_a_start_that_fails_tells_the_reason() -> None:
    async def scenario(place: Place) -> None:
        with pytest.raises(Stalled, match="absent"):
            await place.crew("import absent\n").start()

    scene(scenario)
