"""A release made runnable and kept so: its replicas, replaced when they die.

A crew says which of its workers can take connections, and is retired or discarded as a whole.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from reconciler.model.failure import Failure, Reason, Stalled
from reconciler.model.names import WorkerId
from reconciler.model.watch import Answers
from reconciler.worker.exit import Exit
from reconciler.worker.means import Means
from reconciler.worker.numbers import Numbers
from reconciler.worker.processes import Processes, check_commands
from reconciler.worker.slot import take_turn
from reconciler.worker.spec import ReleaseSpec, WorkerSockets
from reconciler.worker.worker import Worker

log = logging.getLogger(__name__)

CRASHES = 5
CRASH_WINDOW = 60.0
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0
MEBIBYTE = 1 << 20


class Crew:
    """The workers of one release."""

    def __init__(self, spec: ReleaseSpec, means: Means, numbers: Numbers) -> None:
        self.spec = spec
        self.workers: list[Worker] = []
        self.restarts = 0
        self.crashes: list[float] = []
        self.last_exit: Exit | None = None
        self.start_failure: Failure | None = None
        """Why the last try to replace a worker failed."""
        self.processes = Processes(spec, means.zygotes, self._with_secrets)
        self.on_change: Callable[[Crew], None] = lambda _crew: None
        """Told when workers came, went, or gave up; whoever holds the table listens."""
        self.on_trouble: Callable[[Crew], None] = lambda _crew: None
        """Told when it dies too often, and each time that it needed more memory than there was for it."""
        self._zygotes = means.zygotes
        self._ledger = means.ledger
        self._sockets = means.sockets
        self._reveal = means.reveal
        self._meter = means.meter
        self._numbers = numbers
        self._keepers: set[asyncio.Task[None]] = set()
        self._candidate = False

    @property
    def ready(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.state == "ready" and not worker.is_gone]

    @property
    def crash_looping(self) -> bool:
        return len(self._recent_crashes()) >= CRASHES or isinstance(self.start_failure, Stalled)

    @property
    def in_trouble(self) -> bool:
        """Something of its workers' ends, or its processes', is worth telling."""
        has_looped = self.crash_looping or self.processes.crash_looping is not None
        return has_looped or (self.is_out_of_memory and bool(self._recent_crashes()))

    @property
    def is_out_of_memory(self) -> bool:
        return self.last_exit is not None and self.last_exit.out_of_memory

    async def start(self, *, candidate: bool = False) -> None:
        """Start every replica and wait until all are ready; if one fails, leave nothing behind."""
        check_commands(self.spec)
        self._candidate = candidate
        starts = [asyncio.create_task(self._start_one()) for _ in range(self.spec.replicas)]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.discard()
            raise
        for worker in self.workers:
            self._spawn_keeper(self._keep(worker))

    def adopt(self, workers: Iterable[Worker], slots: asyncio.Semaphore) -> None:
        """Take over workers that a former control started; make up for those that are missing, when there is a slot."""
        self.workers = list(workers)
        for worker in self.workers:
            self._count(worker)
            self._spawn_keeper(self._keep_adopted(worker))
        for _ in range(self.spec.replicas - len(self.workers)):
            self._spawn_keeper(self._make_up(slots))

    def take_over(self) -> None:
        """It has the traffic: from now on its further commands run, too."""
        self.promote()
        self.processes.start()

    def promote(self) -> None:
        """Let its workers know that it has the traffic."""
        self._candidate = False
        for worker in self.workers:
            worker.promote()

    def stand_down(self) -> None:
        """Another has the traffic."""
        self.processes.stop()

    def park(self) -> None:
        """Serve nobody from now on, and be ready to. One that is replaced meanwhile waits like the others."""
        self._candidate = True
        for worker in self.workers:
            worker.park(self.spec.drain)

    def resume(self) -> None:
        self._candidate = False
        for worker in self.workers:
            worker.resume()

    async def withdrawn(self) -> None:
        """Wait until none of its workers takes a new request."""
        await asyncio.gather(*(worker.withdrawn() for worker in self.workers))

    async def answers(self) -> Answers:
        counted = await asyncio.gather(*(worker.answers() for worker in self.ready))
        return sum(counted, Answers())

    def retire(self) -> Coroutine[Any, Any, list[Worker]]:
        """Tell every worker, at once, to finish and go; then wait. Gives them, for what their drain had to cut."""
        self._leave()
        workers, stopping = list(self.workers), self.processes.stop()
        return self._see_off(workers, [worker.retire(self.spec.drain) for worker in workers], stopping)

    async def _see_off(
        self,
        workers: list[Worker],
        leaving: Iterable[Coroutine[Any, Any, Exit]],
        stopping: "asyncio.Task[None] | None",
    ) -> list[Worker]:
        self._record(workers, await asyncio.gather(*leaving))
        if stopping is not None:
            await asyncio.wait([stopping])
        return workers

    async def discard(self) -> None:
        """Throw the workers away: nobody was ever served by them."""
        self._leave()
        workers = list(self.workers)
        for worker in workers:
            worker.kill()
        self._record(workers, await asyncio.gather(*(worker.gone() for worker in workers)))

    def _record(self, workers: Iterable[Worker], ends: Iterable[Exit]) -> None:
        for worker, end in zip(workers, ends, strict=True):
            self._ledger.gone(worker.id, end)

    def _leave(self) -> None:
        """Replace nobody any more; who is being started ends with its keeper."""
        for keeper in self._keepers:
            keeper.cancel()

    async def _start_one(self) -> Worker:
        """A worker that is ready; one that is not, for whatever reason, ends and is written off."""
        spec = await self._with_secrets()
        worker_id = WorkerId(f"{spec.release}.{self._numbers.take()}")
        sockets = self._sockets()
        began_at = datetime.now(UTC)
        await self._intend(worker_id, sockets, began_at)
        worker = None
        try:
            zygote = await self._zygotes.of(spec.environment, spec.python)
            process = await zygote.fork(spec, worker_id, sockets, candidate=self._candidate)
            self._ledger.forked(worker_id, process)
            worker = Worker(worker_id, spec.release, sockets, process.pid, process.started, started_at=began_at)
            self.workers.append(worker)
            await worker.watch(zygote)
            self._count(worker)
            await worker.ready(spec.start_timeout)
        except BaseException:
            await self._write_off(worker_id, worker)
            raise
        zygote.learn(worker.modules)
        return worker

    def _count(self, worker: Worker) -> None:
        worker.count(partial(self._meter.served, self.spec))

    async def secrets(self) -> Mapping[str, str]:
        """What its workers have, for whoever has to take it out of what they say."""
        return (await self._with_secrets()).secrets

    async def _with_secrets(self) -> ReleaseSpec:
        """For one start only: what was set anew or mended since is taken as it is now."""
        if not self.spec.pinned:
            return self.spec
        return replace(self.spec, secrets={**self.spec.secrets, **await self._reveal(self.spec.pinned)})

    async def _intend(self, worker: WorkerId, sockets: WorkerSockets, at: datetime) -> None:
        try:
            await self._ledger.intend(worker, self.spec, sockets, at)
        except Exception:
            # A service that runs is worth more than a book that is complete.
            log.exception("a worker could not be written down", extra={"worker": worker})

    async def _write_off(self, worker_id: WorkerId, worker: Worker | None) -> None:
        end = Exit(None)
        if worker is not None:
            worker.kill()
            end = self.last_exit = await worker.gone()
            if worker in self.workers:
                self.workers.remove(worker)
        self._ledger.gone(worker_id, end)

    def _spawn_keeper(self, work: Coroutine[object, object, None]) -> None:
        keeper = asyncio.create_task(work)
        self._keepers.add(keeper)
        keeper.add_done_callback(self._keepers.discard)

    async def _keep(self, worker: Worker) -> None:
        """See to it that there is this worker, or another in its place."""
        while True:
            self._lost(worker, await worker.gone())
            worker = await self._persist(self._start_one, self._pause())
            self.restarts += 1
            self._meter.replaced(self.spec, self.last_exit)
            self.on_change(self)

    async def _keep_adopted(self, worker: Worker) -> None:
        """It may still be starting: its former control did not live to see it ready."""
        if worker.state == "starting":
            try:
                await worker.ready(self.spec.start_timeout)
            except Failure:
                worker.kill()
            else:
                self.on_change(self)
        await self._keep(worker)

    async def _make_up(self, slots: asyncio.Semaphore) -> None:
        """A worker where there is none."""
        worker = await self._persist(lambda: take_turn(slots, self._start_one), 0.0)
        self.on_change(self)
        await self._keep(worker)

    async def _persist(self, start: Callable[[], Coroutine[Any, Any, Worker]], pause: float) -> Worker:
        """Try to start one as often as it takes."""
        while True:
            await asyncio.sleep(pause)
            try:
                worker = await start()
            except Failure as failure:
                self.start_failure = failure
                log.warning(failure.message, extra={"service": self.spec.service, "reason": failure.reason})
                if failure.reason is Reason.SECRET_MISSING:
                    pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
                    continue
            except Exception:
                log.exception("a worker could not be started", extra={"service": self.spec.service})
            else:
                self.start_failure = None
                return worker
            self._count_crash()
            pause = self._pause()

    def _lost(self, worker: Worker, end: Exit) -> None:
        self.last_exit = end
        about = {"service": self.spec.service, "release": self.spec.release, "worker": worker.id}
        log.warning("a worker is lost", extra={**about, "how": str(end)})
        self._ledger.gone(worker.id, end)
        self.workers.remove(worker)
        self._count_crash()

    def _count_crash(self) -> None:
        self.crashes = [*self._recent_crashes(), time.monotonic()]
        self.on_change(self)
        if self.in_trouble:
            self.on_trouble(self)

    def _recent_crashes(self) -> list[float]:
        now = time.monotonic()
        return [moment for moment in self.crashes if now - moment < CRASH_WINDOW]

    def _pause(self) -> float:
        """Replaced at once the first time, then with back-off while it repeats."""
        repeats = len(self.crashes) - 1
        return 0.0 if repeats < 1 else min(FIRST_PAUSE * 2 ** (repeats - 1), LONGEST_PAUSE)


def trouble_of(crew: Crew) -> Stalled:
    """What is wrong with a crew whose workers die."""
    if crew.is_out_of_memory:
        return Stalled(Reason.OUT_OF_MEMORY, _want_of_memory(crew))
    if crew.start_failure is not None:
        message = f"{crew.spec.release} cannot start again: {crew.start_failure.message}"
        return Stalled(Reason.CRASH_LOOP, message, detail=crew.start_failure.detail)
    how = crew.last_exit or "ended"
    return Stalled(
        Reason.CRASH_LOOP,
        f"{crew.spec.release} {how} {len(crew.crashes)} times within {CRASH_WINDOW:.0f} s",
    )


def _want_of_memory(crew: Crew) -> str:
    limit = crew.spec.limits.memory
    allowed = "the machine had left" if limit is None else f"its limit of {limit / MEBIBYTE:g} MiB"
    outcome = f"{len(crew.crashes)} times within {CRASH_WINDOW:.0f} s" if crew.crash_looping else "and was replaced"
    return f"{crew.spec.release} used more memory than {allowed} {outcome}; mend what keeps it, or raise limits.memory"
