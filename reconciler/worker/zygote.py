"""One zygote per environment: a Python that has imported the framework and forks workers from it.

Control starts a zygote but does not own it: it outlives control, and the next control finds it again by
its socket. Its end does not end its workers either; a new one is started when the next fork is due.
"""

import asyncio
import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from reconciler import inside
from reconciler.model.failure import Failure, Reason, Wait
from reconciler.model.names import EnvironmentId, WorkerId
from reconciler.worker.lines import Lines, Message
from reconciler.worker.spec import ReleaseSpec, WorkerSockets, fork_message

T = TypeVar("T")

INSIDE = Path(inside.__file__).parent
START_TIMEOUT = 60.0
PASSED_ON = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Forked:
    pid: int
    started: str
    """The kernel's start time of the process: with the pid, a name that is never reused."""


@dataclass(frozen=True, slots=True)
class Nursery:
    """What every zygote of this platform shares."""

    run: Path
    logs: Path
    lifeline: int


class Zygote:
    def __init__(self, lines: Lines, process: "subprocess.Popen[bytes] | None") -> None:
        self._lines = lines
        self._process = process
        self._forks: dict[WorkerId, asyncio.Future[Forked]] = {}
        self._exits: dict[WorkerId, asyncio.Future[int]] = {}
        self._listening = asyncio.create_task(self._listen())

    @property
    def alive(self) -> bool:
        return not self._listening.done()

    async def fork(self, spec: ReleaseSpec, worker: WorkerId, sockets: WorkerSockets) -> Forked:
        answer = self._forks[worker] = asyncio.get_running_loop().create_future()
        try:
            self._lines.send(fork_message(spec, worker, sockets))
            return await asyncio.wait_for(answer, START_TIMEOUT)
        except TimeoutError:
            raise Wait(Reason.START_FAILED, f"the zygote did not fork within {START_TIMEOUT:.0f} s") from None
        finally:
            self._forks.pop(worker, None)

    def exit_of(self, worker: WorkerId) -> "asyncio.Future[int]":
        """The raw wait status of a worker, once the zygote has reaped it. Cancelled when nobody can know."""
        if worker not in self._exits:
            self._exits[worker] = asyncio.get_running_loop().create_future()
            if not self.alive:
                self._exits[worker].cancel()
        return self._exits[worker]

    def forget(self, worker: WorkerId) -> None:
        self._exits.pop(worker, None)

    def preload(self, modules: list[str]) -> None:
        self._lines.send({"op": "preload", "modules": modules})

    def stop(self) -> None:
        """Let it end once its last worker has."""
        self._lines.send({"op": "stop"})

    async def ended(self) -> None:
        """Wait until it is gone, and reaped where it is a child of ours."""
        await asyncio.shield(self._listening)

    async def _listen(self) -> None:
        async for message in self._lines.messages():
            self._take(message)
        _cancel(self._forks.values())
        _cancel(self._exits.values())
        self._lines.close()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)

    def _take(self, message: Message) -> None:
        worker = WorkerId(str(message.get("worker", "")))
        match message.get("op"):
            case "forked":
                _settle(self._forks.get(worker), Forked(int(message["pid"]), str(message.get("started", ""))))
            case "refused":
                failure = Wait(Reason.START_FAILED, f"the zygote refused to fork: {message.get('message', '')}")
                if (fork := self._forks.get(worker)) is not None and not fork.done():
                    fork.set_exception(failure)
            case "exited":
                _settle(self.exit_of(worker), int(message["status"]))


class Zygotes:
    """The zygotes of this platform, one per environment, started when first needed."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self._starting: dict[EnvironmentId, asyncio.Task[Zygote]] = {}

    async def of(self, environment: EnvironmentId, python: Path) -> Zygote:
        task = self._starting.get(environment)
        if task is None or (task.done() and not _still_good(task)):
            task = self._starting[environment] = asyncio.create_task(self._find_or_start(environment, python))
        # Several services wait for one start: the one that is cancelled must not take it from the others.
        return await asyncio.shield(task)

    def known(self, environment: EnvironmentId) -> Zygote | None:
        task = self._starting.get(environment)
        return task.result() if task is not None and task.done() and _still_good(task) else None

    def stop_others(self, needed: frozenset[EnvironmentId]) -> None:
        """End the zygotes of environments that nothing runs in any more."""
        for environment in self._starting.keys() - needed:
            task = self._starting[environment]
            if not task.done():
                continue
            if _still_good(task):
                task.result().stop()
            del self._starting[environment]

    async def ended(self) -> None:
        """Wait until all of them are gone: for whoever has let the lifeline go."""
        for task in self._starting.values():
            with contextlib.suppress(Failure):
                await (await asyncio.shield(task)).ended()

    async def _find_or_start(self, environment: EnvironmentId, python: Path) -> Zygote:
        socket = self._nursery.run / f"z-{_generation(environment)}.sock"
        with contextlib.suppress(OSError):
            return Zygote(await Lines.connect(socket), None)
        socket.unlink(missing_ok=True)
        return await self._start(python, socket)

    async def _start(self, python: Path, socket: Path) -> Zygote:
        self._nursery.logs.mkdir(parents=True, exist_ok=True)
        log = self._nursery.logs / "zygote.log"
        process = await asyncio.to_thread(_spawn, python, socket, self._nursery.lifeline, log)
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(OSError):
                return Zygote(await Lines.connect(socket), process)
            if process.poll() is not None:
                raise Wait(
                    Reason.START_FAILED,
                    f"the environment's Python ended with {process.returncode} before it could fork workers",
                    detail=_tail(log),
                )
            await asyncio.sleep(0.005)
        process.kill()
        raise Wait(Reason.START_FAILED, "the environment's Python took too long to import the framework")


def _spawn(python: Path, socket: Path, lifeline: int, log: Path) -> "subprocess.Popen[bytes]":
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environ |= {"PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin", "LANG": environ.get("LANG", "C.UTF-8")}
    command = [str(python), "-I", str(INSIDE), "zygote", "--socket", str(socket)]
    command += ["--lifeline-fd", str(lifeline), "--log", str(log)]
    with log.open("ab") as output:
        # A session of its own: a terminal's Ctrl-C is for the supervisor alone.
        return subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lifeline,),
            start_new_session=True,
            cwd="/",
        )


def _still_good(task: "asyncio.Task[Zygote]") -> bool:
    return not task.cancelled() and task.exception() is None and task.result().alive


def _settle(future: "asyncio.Future[T] | None", value: T) -> None:
    if future is not None and not future.done():
        future.set_result(value)


def _cancel(futures: "Iterable[asyncio.Future[T]]") -> None:
    for future in futures:
        if not future.done():
            future.cancel()


def _tail(log: Path, size: int = 4000) -> str | None:
    try:
        return log.read_bytes()[-size:].decode(errors="replace")
    except OSError:
        return None


def _generation(environment: EnvironmentId) -> str:
    """A zygote that runs older code of ours is not found again after an upgrade; it ends with its workers."""
    return hashlib.sha256(f"{environment}{_inside_version()}".encode()).hexdigest()[:12]


@cache
def _inside_version() -> str:
    sources = sorted(INSIDE.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
