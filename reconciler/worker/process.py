"""One worker process: its states, and how it is asked to go.

    starting ── ready ── draining ── stopped
        └── failed          └── (dies at any point) stopped, with the status the kernel gave

The worker itself says which state it is in; that it is gone is known from the end of its socket, and
how it went from the zygote that reaped it.
"""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from reconciler.model.failure import Failure, Reason, Stalled
from reconciler.model.names import ReleaseId, WorkerId
from reconciler.model.problem import Problem
from reconciler.model.status import WorkerState
from reconciler.model.watch import Answers
from reconciler.worker.lines import Lines, Message
from reconciler.worker.spec import WorkerSockets
from reconciler.worker.zygote import Zygote

EXIT_KNOWN_WITHIN = 2.0
GRACE = 15.0
"""What a worker may take beyond its drain for its own shutdown, before it is killed."""


@dataclass(frozen=True, slots=True)
class Exit:
    status: int | None
    """The raw wait status, or None when nobody was there to reap it."""

    @property
    def clean(self) -> bool:
        return self.status == 0

    @property
    def killed_by(self) -> int | None:
        return os.WTERMSIG(self.status) if self.status is not None and os.WIFSIGNALED(self.status) else None

    def __str__(self) -> str:
        if self.status is None:
            return "ended"
        if (number := self.killed_by) is not None:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(number).name}"
            return f"was killed by signal {number}"
        return f"exited with status {os.waitstatus_to_exitcode(self.status)}"


@dataclass(frozen=True, slots=True)
class Cut:
    """What a drain could not wait for."""

    requests: int = 0
    tasks: int = 0
    websockets: int = 0

    @property
    def total(self) -> int:
        return self.requests + self.tasks + self.websockets


@dataclass(slots=True, eq=False)
class Worker:
    id: WorkerId
    release: ReleaseId
    sockets: WorkerSockets
    pid: int
    started: str
    state: WorkerState = "starting"
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    modules: tuple[str, ...] = ()
    cut: Cut = Cut()
    failure: Failure | None = None
    _heard: bool = False
    _counted: "asyncio.Future[Answers] | None" = None
    _lines: Lines | None = None
    _told: asyncio.Event = field(default_factory=asyncio.Event)
    _gone: "asyncio.Future[Exit]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _watching: "asyncio.Task[None] | None" = None

    async def watch(self, zygote: Zygote | None) -> None:
        """Follow its state until it ends. It may have ended already: its socket says so too."""
        try:
            self._lines = await Lines.connect(self.sockets.control)
        except OSError:
            await self._end(zygote)
        else:
            self._watching = asyncio.create_task(self._follow(self._lines, zygote))

    async def ready(self, within: float) -> None:
        """Wait until it serves; raise what it says is wrong, or that it said nothing in time."""
        try:
            async with asyncio.timeout(within):
                while self.state == "starting" and not self._gone.done():
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            raise Stalled(
                Reason.START_TIMED_OUT, f"{self.release} was not ready within {within:g} s and was killed"
            ) from None
        if self.state == "ready":
            return
        raise self.failure or Stalled(Reason.START_FAILED, f"{self.release} {await self.gone()} before it was ready")

    async def introduced(self, within: float = 5.0) -> bool:
        """Whether it has said who and how it is: for one that another control started."""
        try:
            async with asyncio.timeout(within):
                while not self._heard and not self._gone.done():
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            return False
        return self._heard

    async def withdrawn(self, within: float = 1.0) -> None:
        """Wait until it takes no new request any more; it was asked to go a moment ago."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.state == "ready" and not self._gone.done():
                    self._told.clear()
                    await self._told.wait()

    async def gone(self) -> Exit:
        return await asyncio.shield(self._gone)

    @property
    def is_gone(self) -> bool:
        return self._gone.done()

    def park(self, drain: float) -> None:
        """Finish what it began and give every connection back, as if retired; but stay, it may be needed again."""
        self._tell({"op": "park", "drain": drain})

    def resume(self) -> None:
        self._tell({"op": "resume"})

    async def answers(self, within: float = 2.0) -> Answers:
        """How many requests it has answered, and how many of them badly; nothing when it does not say."""
        self._counted = asyncio.get_running_loop().create_future()
        self._tell({"op": "stats"})
        try:
            async with asyncio.timeout(within):
                return await self._counted
        except TimeoutError:
            return Answers()

    async def retire(self, drain: float) -> Exit:
        """Ask it to finish what it began and go; after the drain and its shutdown's grace, make it go."""
        self._tell({"op": "retire", "drain": drain})
        try:
            async with asyncio.timeout(drain + GRACE):
                return await self.gone()
        except TimeoutError:
            self.kill()
            return await self.gone()

    def kill(self) -> None:
        """End it now, if the pid still names the process that was started."""
        if not self._gone.done() and start_time(self.pid) == self.started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _tell(self, message: Message) -> None:
        if self._lines is not None and not self._gone.done():
            self._lines.send(message)

    async def _follow(self, lines: Lines, zygote: Zygote | None) -> None:
        async for message in lines.messages():
            self._take(message)
            self._told.set()
        lines.close()
        await self._end(zygote)

    async def _end(self, zygote: Zygote | None) -> None:
        status = await _exit_status(zygote, self.id)
        if self.state != "failed":
            self.state = "stopped"
        self._gone.set_result(Exit(status))
        self.sockets.unlink()
        self._told.set()

    def _take(self, message: Message) -> None:
        match message.get("op"):
            case "hello":
                self._heard = True
                self.pid = int(message["pid"])
                self.started = str(message["started"])
                # How it failed follows in a message of its own; a bare "failed" would hide it.
                if message.get("state") != "failed":
                    self._enter(message)
            case "state":
                self._enter(message)
            case "stats" if self._counted is not None and not self._counted.done():
                self._counted.set_result(Answers(int(message.get("requests", 0)), int(message.get("failed", 0))))

    def _enter(self, message: Message) -> None:
        match message.get("state"):
            case "ready":
                self.state = "ready"
                self.modules = tuple(str(name) for name in message.get("modules", ()))
            case "draining":
                self.state = "draining"
            case "failed":
                self.state = "failed"
                self.failure = _failure(self.release, message)
            case "stopped":
                cut = message.get("cut") or {}
                self.cut = Cut(**{name: int(cut.get(name, 0)) for name in ("requests", "tasks", "websockets")})


async def _exit_status(zygote: Zygote | None, worker: WorkerId) -> int | None:
    """The zygote may have died with the worker, or before it: then nobody knows."""
    if zygote is None:
        return None
    try:
        async with asyncio.timeout(EXIT_KNOWN_WITHIN):
            return await asyncio.shield(zygote.exit_of(worker))
    except (TimeoutError, asyncio.CancelledError):
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        return None
    finally:
        zygote.forget(worker)


def _failure(release: ReleaseId, message: Message) -> Failure:
    known = {Reason.IMPORT_FAILED.value: Reason.IMPORT_FAILED}
    reason = known.get(str(message.get("reason")), Reason.START_FAILED)
    text = str(message.get("message") or f"{release} could not start")
    file, line = message.get("file"), message.get("line")
    problem = Problem(
        text,
        code="import-failed" if reason is Reason.IMPORT_FAILED else "start-failed",
        file=str(file) if file else None,
        line=int(line) if isinstance(line, int) else None,
        remedy="mend the code and push again",
    )
    detail = message.get("detail")
    return Stalled(reason, text, problems=(problem,), detail=str(detail) if detail else None)


def start_time(pid: int) -> str:
    """Field 22 of `/proc/PID/stat`; empty where there is no such process or no such file system."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
