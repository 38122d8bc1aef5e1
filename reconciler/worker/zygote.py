"""One zygote per environment: a Python that has imported the framework and forks workers from it.

Control starts a zygote but does not own it: it outlives control, and the next control finds it again by
its socket. Its end does not end its workers either; a new one is started when the next fork is due.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from reconciler import inside
from reconciler.model.failure import Failure, Reason, Stalled, Wait
from reconciler.model.names import EnvironmentId, WorkerId
from reconciler.worker.exit import Exit
from reconciler.worker.lines import Lines, Message
from reconciler.worker.spec import ReleaseSpec, WorkerSockets, command_message, fork_message

T = TypeVar("T")

log = logging.getLogger(__name__)

INSIDE = Path(inside.__file__).parent
START_TIMEOUT = 60.0
GREETED_WITHIN = 5.0
REAPED_EVERY = 0.01
FIELDS = 20
LARGEST_DIARY = 8 << 20
"""Bytes; then a fresh file is begun."""
PASSED_ON = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Forked:
    pid: int
    started: str
    """The kernel's start time of the process: with the pid, a name that is never reused."""

    def runs(self) -> bool:
        """Whether it does something yet; what only waits to be reaped does not."""
        fields = _stat(self.pid)
        return fields[19] == self.started and fields[0] not in ("", "Z", "X")

    def kill(self) -> None:
        """End it now, if the pid still names the process that was started."""
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        # 0 and -1 would be everybody.
        if self.pid > 1 and start_time(self.pid) == self.started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True, slots=True)
class Nursery:
    """What every zygote of this platform shares."""

    run: Path
    logs: Path
    lifeline: int


@dataclass(frozen=True, slots=True)
class Diary:
    """What an interpreter wrote since it was started, in a file that all of them share."""

    file: Path
    since: int

    @classmethod
    def begin(cls, file: Path) -> "Diary":
        since = file.stat().st_size if file.exists() else 0
        if since > LARGEST_DIARY:
            file.replace(file.with_suffix(".previous.log"))
            since = 0
        return cls(file, since)

    def tail(self, size: int = 4000) -> str | None:
        try:
            return self.file.read_bytes()[self.since :][-size:].decode(errors="replace")
        except OSError:
            return None


class Zygote:
    def __init__(self, lines: Lines, process: "subprocess.Popen[bytes] | None", diary: Diary) -> None:
        self.alive = True
        self._lines = lines
        self._process = process
        self._diary = diary
        self._forks: dict[WorkerId, asyncio.Future[Forked]] = {}
        self._unwanted: dict[WorkerId, WorkerSockets | None] = {}
        """Asked for by somebody who did not wait for the answer."""
        self._exits: dict[WorkerId, asyncio.Future[Exit]] = {}
        self._learnt: set[str] = set()
        self._greeting: asyncio.Future[Mapping[WorkerId, int]] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen())

    async def fork(
        self, spec: ReleaseSpec, worker: WorkerId, sockets: WorkerSockets, *, candidate: bool = False
    ) -> Forked:
        """A new worker. Whoever is cancelled while it waits for one leaves none behind."""
        return await self._fork(worker, fork_message(spec, worker, sockets, candidate=candidate), sockets)

    async def run(self, spec: ReleaseSpec, process: WorkerId, name: str) -> Forked:
        """A further command of a release, under a name that no process had before."""
        return await self._fork(process, command_message(spec, process, name), None)

    async def _fork(self, worker: WorkerId, message: Message, sockets: WorkerSockets | None) -> Forked:
        if not self.alive:
            raise self._has_ended()
        answer: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._forks[worker] = answer
        try:
            self._lines.send(message)
            async with asyncio.timeout(START_TIMEOUT):
                return await answer
        except TimeoutError:
            self._disown(worker, sockets, answer)
            raise Wait(Reason.START_FAILED, f"the zygote did not fork within {START_TIMEOUT:.0f} s") from None
        except asyncio.CancelledError:
            self._disown(worker, sockets, answer)
            raise
        finally:
            self._forks.pop(worker, None)

    def exit_of(self, worker: WorkerId) -> "asyncio.Future[Exit]":
        """How a worker ended, once it was reaped; without a status when nobody can know."""
        if worker not in self._exits:
            self._exits[worker] = asyncio.get_running_loop().create_future()
            if not self.alive:
                self._exits[worker].set_result(Exit(None))
        return self._exits[worker]

    def forget(self, worker: WorkerId) -> None:
        self._exits.pop(worker, None)

    async def children(self) -> Mapping[WorkerId, int]:
        """Its workers and their pids, when it was met; none where it does not say."""
        try:
            async with asyncio.timeout(GREETED_WITHIN):
                return await asyncio.shield(self._greeting)
        except TimeoutError:
            return {}

    def learn(self, modules: Iterable[str]) -> None:
        """What a worker imported, the next ones find imported."""
        new = [name for name in modules if name not in self._learnt]
        if new and self.alive:
            self._learnt.update(new)
            self._lines.send({"op": "preload", "modules": new})

    def stop(self) -> None:
        """Let it end once its last worker has."""
        self._lines.send({"op": "stop"})

    async def ended(self) -> None:
        """Wait until it is gone, and reaped where it is a child of ours."""
        await asyncio.shield(self._listening)

    async def _listen(self) -> None:
        async for message in self._lines.messages():
            try:
                self._take(message)
            except (KeyError, TypeError, ValueError):
                break
        self._let_go()
        while self._process is not None and self._process.poll() is None:  # noqa: ASYNC110 - it ends at once
            await asyncio.sleep(REAPED_EVERY)

    def _let_go(self) -> None:
        self.alive = False
        self._lines.close()
        for fork in self._forks.values():
            if not fork.done():
                fork.set_exception(self._has_ended())
        for status in self._exits.values():
            _settle(status, Exit(None))
        _settle(self._greeting, {})

    def _has_ended(self) -> Wait:
        return Wait(
            Reason.START_FAILED,
            "the environment's Python ended before it could fork workers",
            detail=self._diary.tail(),
        )

    def _disown(self, worker: WorkerId, sockets: WorkerSockets | None, answer: "asyncio.Future[Forked]") -> None:
        if not answer.done() or answer.cancelled():
            self._unwanted[worker] = sockets
        elif answer.exception() is None:
            answer.result().kill()
            if sockets is not None:
                sockets.unlink()

    def _take(self, message: Message) -> None:
        worker = WorkerId(str(message.get("worker", "")))
        match message.get("op"):
            case "hello":
                children = {WorkerId(str(one["worker"])): int(one["pid"]) for one in message.get("children", ())}
                _settle(self._greeting, children)
            case "forked":
                self._born(worker, Forked(int(message["pid"]), str(message.get("started", ""))))
            case "refused":
                self._unwanted.pop(worker, None)
                failure = Wait(Reason.START_FAILED, f"the zygote refused to fork: {message.get('message', '')}")
                if (fork := self._forks.get(worker)) is not None and not fork.done():
                    fork.set_exception(failure)
            case "exited":
                _settle(self.exit_of(worker), Exit(int(message["status"]), bool(message.get("out_of_memory"))))

    def _born(self, worker: WorkerId, process: Forked) -> None:
        if worker in self._unwanted:
            process.kill()
            if (sockets := self._unwanted.pop(worker)) is not None:
                sockets.unlink()
        elif (fork := self._forks.get(worker)) is not None:
            _settle(fork, process)


class Broken(Exception):
    """The environment's Python does not run."""

    def __init__(self, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.detail = detail


class Zygotes:
    """The zygotes of this platform, one per environment, started when first needed.

    An environment whose Python does not run is built anew by `mend`, once; when that is no cure, a person is needed.
    """

    def __init__(self, nursery: Nursery, mend: Callable[[EnvironmentId], Awaitable[object]] | None = None) -> None:
        self._nursery = nursery
        self._mend = mend
        self._mended: set[EnvironmentId] = set()
        """Built anew, and not seen to run since."""
        self._starting: dict[EnvironmentId, asyncio.Task[Zygote]] = {}

    async def of(self, environment: EnvironmentId, python: Path) -> Zygote:
        task = self._starting.get(environment)
        if task is None or (task.done() and not _still_good(task)):
            task = self._starting[environment] = asyncio.create_task(self._find_or_start(environment, python))
        # Several services wait for one start: the one that is cancelled must not take it from the others.
        return await asyncio.shield(task)

    def was_started(self, environment: EnvironmentId) -> bool:
        """By this control or by one before it, which may be over."""
        return self._socket(environment).exists()

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
        socket = self._socket(environment)
        self._nursery.logs.mkdir(parents=True, exist_ok=True)
        diary = Diary.begin(self._nursery.logs / "zygote.log")
        with contextlib.suppress(OSError):
            return Zygote(await Lines.connect(socket), None, diary)
        socket.unlink(missing_ok=True)
        try:
            zygote = await self._start(python, socket, diary)
        except Broken as broken:
            zygote = await self._start_mended(environment, python, broken)
        self._mended.discard(environment)
        return zygote

    async def _start_mended(self, environment: EnvironmentId, python: Path, broken: Broken) -> Zygote:
        if self._mend is None:
            raise Wait(Reason.START_FAILED, str(broken), detail=broken.detail)
        if environment not in self._mended:
            log.warning("an environment does not work and is built anew", extra={"environment": environment})
            await self._mend(environment)
            self._mended.add(environment)
            diary = Diary.begin(self._nursery.logs / "zygote.log")
            try:
                return await self._start(python, self._socket(environment), diary)
            except Broken as again:
                broken = again
        message = f"{broken}, also after the environment was built anew"
        raise Stalled(Reason.START_FAILED, message, detail=broken.detail)

    def _socket(self, environment: EnvironmentId) -> Path:
        return self._nursery.run / f"z-{_generation(environment)}.sock"

    async def _start(self, python: Path, socket: Path, diary: Diary) -> Zygote:
        try:
            process = await asyncio.to_thread(_spawn, python, socket, self._nursery.lifeline, diary.file)
        except OSError as error:
            raise Broken(f"the environment's Python could not be started: {error.strerror}: {python}") from error
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(OSError):
                return Zygote(await Lines.connect(socket), process, diary)
            if process.poll() is not None:
                raise Broken(
                    f"the environment's Python ended with {process.returncode} before it could fork workers",
                    diary.tail(),
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


def _settle(future: "asyncio.Future[T]", value: T) -> None:
    if not future.done():
        future.set_result(value)


def start_time(pid: int) -> str:
    """Field 22 of `/proc/PID/stat`; empty where there is no such process or no such file system."""
    return _stat(pid)[19]


def cpu_ticks(pid: int, started: str) -> int | None:
    """Processor time of a process and of those of its children that it has seen off; None when it is not there."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) if started and fields[19] == started else None


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process, from its state on."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return [""] * FIELDS
    # Its own name, in parentheses before these, may hold anything.
    return stat.rpartition(")")[2].split()


def _generation(environment: EnvironmentId) -> str:
    """A zygote that runs older code of ours is not found again after an upgrade; it ends with its workers."""
    return hashlib.sha256(f"{environment}{_inside_version()}".encode()).hexdigest()[:12]


@cache
def _inside_version() -> str:
    sources = sorted(INSIDE.rglob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
