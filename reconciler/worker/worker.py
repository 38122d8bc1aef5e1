"""One worker process: its states, and how it is asked to go.

    starting ── ready ── draining ── stopped
        └── failed          └── (dies at any point) stopped, with the status the kernel gave

The worker itself says which state it is in; that it is gone is known from the end of its socket, and
how it went from the zygote that reaped it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from reconciler.model.failure import Failure, Reason, Stalled
from reconciler.model.names import ReleaseId, WorkerId
from reconciler.model.problem import Problem
from reconciler.model.run import Outcome, RunState
from reconciler.model.status import WorkerState
from reconciler.model.watch import Answers
from reconciler.worker.calls import Calls
from reconciler.worker.exit import Exit
from reconciler.worker.forked import Forked
from reconciler.worker.lines import Lines, Message, Patience
from reconciler.worker.served import NOTHING, InHand, Served, number
from reconciler.worker.spec import WorkerSockets
from reconciler.worker.zygote import Zygote

log = logging.getLogger(__name__)

EXIT_KNOWN_WITHIN = 2.0
LAST_WORDS = 0.2
SAYS_WITHIN = 5.0
"""What a worker may take beyond a call's time to say that it is over."""
FAREWELL = 6.0
"""A worker hangs up before it runs what its service registered for the end; its own limit for that is shorter."""
GRACE = 15.0
"""What a worker may take beyond its drain for its own shutdown, before it is killed."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a drain could not wait for."""

    requests: int = 0
    tasks: int = 0
    websockets: int = 0
    calls: int = 0

    @property
    def total(self) -> int:
        return self.requests + self.tasks + self.websockets + self.calls


CUT = tuple(field.name for field in fields(Cut))


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
    calls: Calls = field(default_factory=Calls)
    in_hand: InHand = NOTHING
    """As it said last."""
    _hear: Callable[[Served], object] | None = None
    _leaving: bool = False
    """It was asked to finish what it began."""
    _heard: bool = False
    _asked: "deque[asyncio.Future[Answers]]" = field(default_factory=deque)
    """Who waits for its counts, in the order of asking, which is that of its answers."""
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
        except asyncio.CancelledError:
            # Whoever gave up wants to know that it is gone; nobody else will be told.
            self._watching = asyncio.create_task(self._end(zygote))
            self.kill()
            raise
        else:
            self._watching = asyncio.create_task(self._follow(self._lines, zygote))

    async def ready(self, within: float) -> None:
        """Wait until it serves; raise what it says is wrong, or that it said nothing in time."""
        try:
            async with asyncio.timeout(within):
                while self.state == "starting":
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            raise Stalled(
                Reason.START_TIMED_OUT,
                f"{self.release} was not ready within {within:g} s and was killed; timeout.start allows more",
            ) from None
        if self.state == "ready":
            return
        end = await self.gone()
        reason = Reason.OUT_OF_MEMORY if end.out_of_memory else Reason.START_FAILED
        raise self.failure or Stalled(reason, f"{self.release} {end} before it was ready")

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
        """Wait until it takes no new request any more; it was asked to park or go a moment ago.

        It obeys in order: once it answers what was asked after that, every connection has met it retiring.
        """
        await self.answers(within)

    async def gone(self) -> Exit:
        return await asyncio.shield(self._gone)

    @property
    def is_gone(self) -> bool:
        return self._gone.done()

    def park(self, drain: float) -> None:
        """Finish what it began and give every connection back, as if retired; but stay, it may be needed again."""
        self._leaving = True
        self._tell({"op": "park", "drain": drain})

    def resume(self) -> None:
        self._leaving = False
        self._tell({"op": "resume"})

    async def answers(self, within: float = 2.0) -> Answers:
        """How many requests it has answered, and how many of them badly; nothing when it does not say."""
        if self._lines is None or self.state not in ("starting", "ready", "draining"):
            return Answers()
        counted: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        self._asked.append(counted)
        self._tell({"op": "stats"})
        try:
            async with asyncio.timeout(within):
                return await counted
        except TimeoutError:
            return Answers()

    def count(self, hear: Callable[[Served], object]) -> None:
        """Have it say from now on what it answers: what came since somebody heard of it, and every few seconds."""
        self._hear = hear
        self._tell({"op": "count"})

    def promote(self) -> None:
        """Its release has got the traffic."""
        self._tell({"op": "promote"})

    async def call(self, run: str, function: str, arguments: Mapping[str, Any], timeout: float) -> Outcome:
        """Have a function of the service called, under the id of a run."""
        self._tell({"op": "call", "run": run, "call": function, "arguments": dict(arguments), "timeout": timeout})
        return await self.called(run, timeout)

    def knows(self, run: str) -> bool:
        """Whether a call is under way here, or came to its end while nobody listened."""
        return run in self.calls

    async def called(self, run: str, timeout: float) -> Outcome:
        """What became of a call, whoever asked for it."""
        told = self.calls.outcome(run)
        either: list[asyncio.Future[Any]] = [told, self._gone]
        try:
            await asyncio.wait(either, timeout=timeout + SAYS_WITHIN, return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                return told.result()
            if self._gone.done():
                return self._ended_in_a_call(self._gone.result())
            return Outcome(RunState.TIMED_OUT, f"it took longer than {timeout:g} s, and its worker does not answer")
        finally:
            self.calls.forget(run)

    def _ended_in_a_call(self, end: Exit) -> Outcome:
        if self._leaving:
            return Outcome(RunState.INTERRUPTED, "its release had to go before it was done")
        return Outcome(RunState.FAILED, f"its worker {end}")

    def retire(self, drain: float) -> Coroutine[Any, Any, Exit]:
        """Ask it, at once, to finish what it began and go; then wait: after the drain and its grace it is made to."""
        self._leaving = True
        self._tell({"op": "retire", "drain": drain})
        return self._gone_after(drain)

    async def _gone_after(self, drain: float) -> Exit:
        try:
            async with asyncio.timeout(drain + GRACE):
                return await self.gone()
        except TimeoutError:
            self.kill()
            return await self.gone()

    def kill(self) -> None:
        """End it now, if the pid still names the process that was started."""
        if not self._gone.done():
            Forked(self.pid, self.started).kill()

    def _tell(self, message: Message) -> None:
        if self._lines is not None and not self._gone.done():
            self._lines.send(message)

    async def _follow(self, lines: Lines, zygote: Zygote | None) -> None:
        """Until its socket ends, or a child of its own keeps that open and only the zygote knows."""
        reading = asyncio.create_task(self._read(lines))
        if zygote is not None:
            reaped = zygote.exit_of(self.id)
            either: list[asyncio.Future[Any]] = [reading, reaped]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            is_over = reaped.done() and reaped.result().status is not None
            # What it said last may still be in the socket.
            await asyncio.wait([reading], timeout=LAST_WORDS if is_over else None)
        else:
            await asyncio.wait([reading])
        reading.cancel()
        lines.close()
        await self._end(zygote)

    async def _read(self, lines: Lines) -> None:
        patience = Patience()
        async for message in lines.messages(patience):
            try:
                self._take(message)
            except Exception as odd:
                log.warning("a worker says odd things and is cut off", extra={"worker": self.id, "error": repr(odd)})
                return
            self._told.set()
        if patience.is_over:
            log.warning("a worker talks without end and is cut off", extra={"worker": self.id})

    async def _end(self, zygote: Zygote | None) -> None:
        if self.state != "failed":
            self.state = "stopped"
        self._told.set()
        for counted in self._asked:
            if not counted.done():
                counted.set_result(Answers())
        await self._see_off()
        self._gone.set_result(await _exit_of(zygote, self.id))
        self.sockets.unlink()
        self._told.set()

    async def _see_off(self) -> None:
        """Whoever hung up may be saying farewell, but is not left to itself: it serves nobody any more."""
        process = Forked(self.pid, self.started)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                while process.runs():  # noqa: ASYNC110 - the kernel tells nobody but its parent
                    await asyncio.sleep(0.01)
        process.kill()

    def _take(self, message: Message) -> None:
        match message.get("op"):
            case "hello":
                self._heard = True
                if self.pid < 2:
                    self.pid, self.started = int(message["pid"]), str(message["started"])
                # How it failed follows in a message of its own; a bare "failed" would hide it.
                if message.get("state") != "failed":
                    self._enter(message)
            case "state":
                self._enter(message)
            case "stats" if self._asked:
                counted = self._asked.popleft()
                if not counted.done():
                    counted.set_result(Answers(int(message.get("requests", 0)), int(message.get("failed", 0))))
            case "counted" if self._hear is not None:
                self.in_hand = InHand(number(message["connections"]), number(message["in_flight"]))
                served = Served.of(message)
                try:
                    self._hear(served)
                except Exception:
                    # A bug of ours; the worker said nothing odd.
                    log.exception("a bug kept answers from being counted", extra={"worker": self.id})
            case "calls":
                self.calls.are_running(message)
            case "called":
                self.calls.ended(message)

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
                self.cut = Cut(**{name: int(cut.get(name, 0)) for name in CUT})


async def _exit_of(zygote: Zygote | None, worker: WorkerId) -> Exit:
    """The zygote may have died with the worker, or before it: then nobody knows."""
    if zygote is None:
        return Exit(None)
    try:
        async with asyncio.timeout(EXIT_KNOWN_WITHIN):
            return await asyncio.shield(zygote.exit_of(worker))
    except TimeoutError:
        return Exit(None)
    finally:
        zygote.forget(worker)


def _failure(release: ReleaseId, message: Message) -> Failure:
    known = {reason.value: reason for reason in (Reason.IMPORT_FAILED, Reason.OUT_OF_MEMORY)}
    reason = known.get(str(message.get("reason")), Reason.START_FAILED)
    text = str(message.get("message") or f"{release} could not start")
    file, line, remedy = message.get("file"), message.get("line"), message.get("remedy")
    problem = Problem(
        text,
        code="import-failed" if reason is Reason.IMPORT_FAILED else "start-failed",
        file=str(file) if file else None,
        line=int(line) if isinstance(line, int) else None,
        remedy=str(remedy or "mend the code and push again"),
    )
    detail = message.get("detail")
    return Stalled(reason, text, problems=(problem,), detail=str(detail) if detail else None)
