"""How many processes a service may have, whoever the server runs as: one service's limit is nobody else's."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.inside.usage import usage_of
from tests.inside.stage import Worker, Zygote
from tests.waiting import until_sync

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="[optional] services are isolated on Linux only")

NOBODY = 65534
LIMIT = 24
CODE = """
import os, subprocess, threading, time
from fastapi import APIRouter
router = APIRouter()

def bomb():
    # Doubles itself; an end is set to it only for the machine that a failing test runs on.
    for _ in range(9):
        os.fork()
    time.sleep(60)
    os._exit(0)

@router.post("/bomb")
async def on_the_loop(): bomb()

@router.post("/bomb-in-thread")
def in_a_thread(): bomb()

@router.get("/few")
def few():
    threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return subprocess.run(["true"]).returncode
"""


@pytest.fixture(scope="module", params=["as root", "as anybody"])
def forks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    is_root = os.geteuid() == 0
    if request.param == "as root" and not is_root:
        pytest.skip("[optional] only root can be root")
    user = NOBODY if is_root and request.param == "as anybody" else None
    zygote = Zygote(tmp_path_factory.mktemp("zygote"), user=user)
    yield zygote
    zygote.close()


@pytest.fixture
def steady(forks: Zygote) -> Iterator[Worker]:
    """A neighbour with the same limit, of the same user."""
    worker = forks.fork(CODE, limits={"processes": LIMIT})
    worker.ready()
    yield worker
    assert worker.get("/few").json == 0
    forks.tidy()


def test_what_other_processes_of_the_user_there_are_takes_nothing_from_a_service(forks: Zygote, steady: Worker) -> None:
    crowd = forks.fork("import subprocess\nfor _ in range(40): subprocess.Popen(['sleep', '60'])\n" + CODE)
    crowd.ready()
    assert _owner(crowd.pid) == _owner(steady.pid)
    assert steady.get("/few").json == 0


@pytest.mark.parametrize("path", ["/bomb", "/bomb-in-thread"])
def test_a_fork_bomb_is_ended_with_all_that_came_of_it(forks: Zygote, steady: Worker, path: str) -> None:
    worker = forks.fork(CODE, name="bomb", limits={"processes": LIMIT})
    worker.ready()
    with suppress(AssertionError, OSError):
        worker.private().ask("POST", f"/api/bomb{path}")
    assert worker.exited() == -9
    assert steady.get("/few").json == 0
    until_sync(lambda: not _of_group(worker.pid), what="the end of all that it started")
    assert worker.said("The worker had more processes than there was for it, and was killed.")


def test_what_threads_start_is_counted() -> None:
    code = "import subprocess, threading; threading.Thread(target=subprocess.run, args=(['sleep', '60'],)).start()"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        until_sync(lambda: usage_of(process.pid).processes == 3, what="itself, its thread and what that has started")
        assert usage_of(process.pid, enough=1).processes == 2
        os.killpg(process.pid, signal.SIGKILL)


def _owner(pid: int) -> str:
    return next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:"))


def _of_group(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(ProcessLookupError):
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == leader and not _has_ended(entry):
                found.append(int(entry.name))
    return found


def _has_ended(process: Path) -> bool:
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
