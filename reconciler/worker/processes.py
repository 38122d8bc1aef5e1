"""Further commands of a release, each kept running from the moment its release has the traffic until it has it no more.

    starting ── ready ── draining ── stopped
        └── backoff ──┘   (it ended by itself, and is started again: at once the first time, then later and later)

They are children of the environment's zygote, which hears what they print, reaps them, and takes them along when the
platform ends. Control may end and come back: the next one finds them by their names among the zygote's children.
"""

import asyncio
import logging
import secrets
import shlex
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from reconciler.model.failure import Failure, Reason, Stalled
from reconciler.model.names import ReleaseId, WorkerId
from reconciler.model.problem import Problem
from reconciler.model.status import WorkerState
from reconciler.worker.exit import Exit
from reconciler.worker.forked import Forked, start_time
from reconciler.worker.spec import ReleaseSpec
from reconciler.worker.zygote import Zygote
from reconciler.worker.zygotes import Zygotes

log = logging.getLogger(__name__)

CRASHES = 5
CRASH_WINDOW = 60.0
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0
ENDS_WITHIN = 5.0
"""After SIGKILL."""
LOOKED_EVERY = 0.02


@dataclass(slots=True, eq=False)
class Process:
    name: str
    command: tuple[str, ...]
    state: WorkerState = "stopped"
    forked: Forked | None = None
    started_at: datetime | None = None
    restarts: int = 0
    last_exit: Exit | None = None
    crashes: int = 0
    """How often it ended by itself, each time soon after its start."""

    @property
    def line(self) -> str:
        return shlex.join(self.command)

    @property
    def crash_looping(self) -> bool:
        return self.crashes >= CRASHES

    def pause(self) -> float:
        repeats = self.crashes - 1
        return 0.0 if repeats < 1 else min(FIRST_PAUSE * 2 ** (repeats - 1), LONGEST_PAUSE)


class Processes:
    """The further commands of one release."""

    def __init__(self, spec: ReleaseSpec, zygotes: Zygotes, with_secrets: Callable[[], Awaitable[ReleaseSpec]]) -> None:
        self.all = tuple(Process(name, command) for name, command in spec.processes.items())
        self.on_crash_loop: Callable[[Process], None] = lambda _process: None
        self.on_calm: Callable[[], None] = lambda: None
        """Told when one that kept ending has lasted."""
        self._spec = spec
        self._zygotes = zygotes
        self._with_secrets = with_secrets
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._stopping: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def crash_looping(self) -> Process | None:
        return next((process for process in self.all if process.crash_looping), None)

    def start(self, *, again: bool = False) -> None:
        """Keep all of them running from now on; `again`: those that a former control started are taken over."""
        before = self._stopping
        for process in self.all:
            if process.name not in self._keepers:
                self._keepers[process.name] = asyncio.create_task(self._keep(process, before, again=again))

    def stop(self) -> "asyncio.Task[None] | None":
        """Ask all of them to end, and see to it that they have when the drain is over."""
        if self._keepers:
            keepers, self._keepers = list(self._keepers.values()), {}
            for keeper in keepers:
                keeper.cancel()
            self._stopping = asyncio.create_task(self._end(keepers, self._spec.drain))
        return self._stopping

    async def _keep(self, process: Process, before: "asyncio.Task[None] | None", *, again: bool) -> None:
        if before is not None:
            await asyncio.wait([before])
        while True:
            process.state = "starting"
            try:
                await self._run(process, again=again)
            except Failure as failure:
                log.warning(f"process {process.name}: {failure.message}", extra={"service": self._spec.service})
            except Exception:
                log.exception("a process could not be kept", extra={"service": self._spec.service})
            again = False
            self._ended(process)
            await asyncio.sleep(process.pause())
            process.restarts += 1

    async def _run(self, process: Process, *, again: bool) -> None:
        """From its start, or from when it was found, to its end."""
        spec = self._spec
        zygote = await self._zygotes.of(spec.environment, spec.python)
        found = await self._left(zygote, process) if again else None
        if found is not None:
            name, pid = found
            process.forked = Forked(pid, start_time(pid))
        else:
            name = WorkerId(f"{spec.release}:{process.name}.{secrets.token_hex(3)}")
            process.last_exit = None
            process.forked = await zygote.run(await self._with_secrets(), name, process.name)
        process.state, process.started_at = "ready", datetime.now(UTC)
        lasting = asyncio.get_running_loop().call_later(CRASH_WINDOW, self._lasts, process)
        try:
            process.last_exit = await _end_of(zygote, name, process.forked)
        finally:
            lasting.cancel()

    async def _left(self, zygote: Zygote, process: Process) -> tuple[WorkerId, int] | None:
        """The newest that a former control left. It was about to end the others, in a restart say."""
        # A zygote that does not answer yet may have one, and could not start another either.
        found = _children_of(self._spec.release, process.name, await zygote.children())
        for _, pid in found[:-1]:
            task = asyncio.create_task(end_process(Forked(pid, start_time(pid)), self._spec.drain))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        return found[-1] if found else None

    def _lasts(self, process: Process) -> None:
        was_unwell, process.crashes = process.crash_looping, 0
        if was_unwell:
            self.on_calm()

    def _ended(self, process: Process) -> None:
        process.forked = None
        process.crashes += 1
        process.state = "backoff"
        how = process.last_exit or "could not be started"
        log.warning(f"process {process.name} {how}", extra={"service": self._spec.service})
        if process.crash_looping:
            self.on_crash_loop(process)

    async def _end(self, keepers: Iterable["asyncio.Task[None]"], drain: float) -> None:
        await asyncio.wait(keepers)
        running = [process for process in self.all if process.forked is not None]
        for process in self.all:
            process.state = "draining" if process.forked is not None else "stopped"
        await asyncio.gather(*(end_process(forked, drain) for process in running if (forked := process.forked)))
        for process in running:
            process.forked, process.state = None, "stopped"


def names_release(process: WorkerId) -> ReleaseId | None:
    """Whose process a child of a zygote is; None for a worker."""
    release, colon, _ = process.partition(":")
    return ReleaseId(release) if colon else None


def check_commands(spec: ReleaseSpec) -> None:
    """What cannot be found now would not be found after the switch either."""
    for name, words in spec.processes.items():
        program = str(spec.code / words[0]) if "/" in words[0] else words[0]
        if shutil.which(program, path=spec.environ.get("PATH")) is None:
            text = f"`processes.{name}` cannot be started: there is no program {words[0]}"
            problem = Problem(text, code="start-failed", remedy="add the package that brings it to `requirements`")
            raise Stalled(Reason.START_FAILED, text, problems=(problem,))


def process_crash_loop(release: ReleaseId, process: Process) -> Stalled:
    how = process.last_exit or "could not be started"
    return Stalled(Reason.CRASH_LOOP, f"process {process.name} of {release} {how} {process.crashes} times in a row")


def _children_of(release: ReleaseId, name: str, children: Mapping[WorkerId, int]) -> list[tuple[WorkerId, int]]:
    return [(child, pid) for child, pid in children.items() if child.startswith(f"{release}:{name}.")]


async def _end_of(zygote: Zygote, name: WorkerId, forked: Forked) -> Exit:
    try:
        end = await asyncio.shield(zygote.exit_of(name))
    finally:
        zygote.forget(name)
    # A zygote that ended took its children along; nobody can say how they ended.
    while end.status is None and forked.runs():
        forked.kill()
        await asyncio.sleep(LOOKED_EVERY)
    return end


async def end_process(forked: Forked, within: float) -> None:
    """Ask it to end, and make it end when it takes too long."""
    forked.terminate()
    await _gone(forked, within)
    forked.kill()
    await _gone(forked, ENDS_WITHIN)


async def _gone(forked: Forked, within: float) -> None:
    deadline = time.monotonic() + within
    while forked.runs() and time.monotonic() < deadline:  # noqa: ASYNC110 - the kernel tells nobody but its parent
        await asyncio.sleep(LOOKED_EVERY)
