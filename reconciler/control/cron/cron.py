"""The jobs of all live releases: looked at when they may be due, written down before they begin, told when they end.

What is due is decided by a pure function from a job, what is settled, and the time. A run is begun only when its
name, which follows from its scheduled time, was new to the journal: that alone keeps a time from being run twice,
whatever clocks, restarts and releases do. What was under way when control ended is told as unknown, and not tried
again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from reconciler.control.account import Account
from reconciler.control.cron.alarm import Alarm, Key
from reconciler.control.cron.duty import OUTCOMES_KEPT, Duty
from reconciler.control.cron.performance import Perform, perform
from reconciler.control.cron.telling import Standing, tell_end, tell_missed
from reconciler.control.live import Live
from reconciler.model.job import Job
from reconciler.model.names import ServiceName
from reconciler.model.refusal import Refusal, Unknown
from reconciler.model.run import Cause, Outcome, RunId, RunState
from reconciler.model.timetable import Due, due
from reconciler.store.journal import Journal, Transaction
from reconciler.store.rows import JobRow, RunRow
from reconciler.store.unusable import StoreUnusable
from reconciler.worker.process import Worker
from reconciler.worker.slot import take_turn

log = logging.getLogger(__name__)

BEGIN_TOGETHER = 6
TURN = 0.05
"""A run keeps the others of its second waiting until it is done, for so long at the most; a release goes between."""
STORE_RETRY = 5.0
LOOKED_TOGETHER = 100
HEARD_WITHIN = 1.0
HEARD_EVERY = 0.02
SETTLES_WITHIN = 10.0
ENDED = "the control plane ended while it was under way; whether it was done is not known"
GONE = "the service has no such job any more"
STOPPED = "the platform had to go before it was done"
BUG = "the reconciler itself failed; its log says how"


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Memory:
    """What a former control knew of one job."""

    row: JobRow | None = None
    last: tuple[RunRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What was found about one job, and decided."""

    duty: Duty
    found: Due
    runs: list[RunRow]


class Cron:
    def __init__(
        self, journal: Journal, *, clock: Callable[[], datetime] = utc_now, perform: Perform = perform
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._perform = perform
        self._alarm = Alarm(self.look, self._look_at_all)
        self._duties: dict[Key, Duty] = {}
        self._standings: dict[ServiceName, Standing] = {}
        self._memories: dict[Key, Memory] = {}
        self._unfinished: tuple[RunRow, ...] = ()
        self._wanted: dict[Key, None] = {}
        self._looking: set[Key] = set()
        self._turns = asyncio.Semaphore(BEGIN_TOGETHER)
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = False
        self._resting = False

    # Its life

    async def open(self) -> None:
        """Read what a former control knew, before any release is followed."""
        rows, last, self._unfinished = await self._journal.write(_everything)
        self._memories = {(row.service, row.name): Memory(row) for row in rows}
        for run in last:
            memory = self._memories.setdefault((run.service, run.job), Memory())
            if run.state.is_over:
                memory.last = (*memory.last, run)

    def begin(self) -> None:
        """All live releases are followed by now: close the books of a former control, then look at all jobs."""
        self._soon(self._begin())

    async def _begin(self) -> None:
        await asyncio.gather(*(self._close_the_book(run) for run in self._unfinished))
        self._begun = True
        if not self._resting:
            self._alarm.start()
            await self.look(*self._duties)

    def rest(self) -> None:
        """Begin nothing more: the platform is going down."""
        self._resting = True
        self._alarm.stop()

    async def settle(self) -> None:
        """Wait until what runs has ended, as it does with its worker."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLES_WITHIN):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # Which jobs there are

    def follow(self, live: Live, account: Account) -> None:
        """This release has the traffic: its jobs run from now on, and no others of its service."""
        service, now = live.recipe.service, self._clock()
        self._standings[service] = Standing(live, account)
        jobs = {job.name: job for job in live.recipe.jobs}
        gone = [key for key in self._duties if key[0] == service and key[1] not in jobs]
        new = [job for job in jobs.values() if self._is_new(job)]
        for key in gone:
            self._drop(key)
        for job in jobs.values():
            self._take_on(job, now)
        if gone or new:
            rows = [self._duties[service, name].row() for name in jobs]
            self._journal.later(partial(_follow, service=service, rows=rows, at=now))

    def forget(self, service: ServiceName) -> None:
        """Nothing of it serves any more."""
        keys = [key for key in self._duties if key[0] == service]
        for key in keys:
            self._drop(key)
        self._standings.pop(service, None)
        if keys:
            self._journal.later(partial(_follow, service=service, rows=(), at=self._clock()))

    def _is_new(self, job: Job) -> bool:
        duty = self._duties.get((job.service, job.name))
        return duty is None or duty.job.times != job.times

    def _take_on(self, job: Job, now: datetime) -> None:
        key = job.service, job.name
        duty, is_new = self._duties.get(key), self._is_new(job)
        if duty is None:
            duty = self._duties[key] = self._remembered(key, job, now)
        elif is_new:
            # Times that are past were never times of this schedule.
            duty.settled = max(duty.settled, now)
        duty.job = job
        if is_new:
            self._alarm.set(key, job)
            if self._begun:
                self._soon(self.look(key))

    def _remembered(self, key: Key, job: Job, now: datetime) -> Duty:
        memory = self._memories.pop(key, Memory())
        row = memory.row
        if row is None:
            return Duty(job, now)
        goes_on = row.gone_at is None and row.times == job.times
        return Duty(job, row.settled if goes_on else now, row.forgotten, row.missed, last=memory.last)

    def _drop(self, key: Key) -> None:
        duty = self._duties.pop(key)
        self._alarm.clear(key)
        self._memories[key] = Memory(replace(duty.row(), gone_at=self._clock()), duty.last)
        for run in duty.waiting:
            self._soon(self._end(duty, run, Outcome(RunState.SKIPPED, GONE)))
        duty.waiting = ()

    # What is due

    async def look(self, *keys: Key) -> None:
        """See what of these jobs is due now, and begin it. Looking twice finds nothing the second time."""
        self._wanted.update(dict.fromkeys(keys))
        # Whoever wakes at the same moment is looked at, and written down, together.
        await asyncio.sleep(0)
        while self._wanted and self._begun and not self._resting:
            together = [self._wanted.popitem()[0] for _ in range(min(len(self._wanted), LOOKED_TOGETHER))]
            duties = {key: self._duties[key] for key in together if key in self._duties and key not in self._looking}
            self._looking.update(duties)
            try:
                await self._look_at(duties.values())
            except StoreUnusable as unusable:
                # Nothing is begun that is not written down first.
                log.warning("jobs have to wait for the journal", extra={"jobs": len(duties), "why": str(unusable)})
                asyncio.get_running_loop().call_later(STORE_RETRY, self._look_soon, tuple(duties))
            finally:
                self._looking.difference_update(duties)
            for duty in duties.values():
                self._begin_next(duty)
            # Ten thousand of them shall keep nobody waiting.
            await asyncio.sleep(0)

    async def _look_at(self, duties: Iterable[Duty]) -> None:
        now = self._clock()
        looks = [look for duty in duties if (look := self._decide(duty, now)) is not None]
        if not looks:
            return
        try:
            new = await self._journal.write(partial(_settle, looks=looks))
        except StoreUnusable:
            for look in looks:
                for run in look.runs:
                    look.duty.give_up(run)
            raise
        for look in looks:
            duty, found = look.duty, look.found
            duty.settled = max(duty.settled, found.settled)
            for run in look.runs:
                self._place(duty, run, is_new=run.id in new)
            if found.missed:
                duty.missed += found.missed
                tell_missed(self._standings.get(duty.job.service), duty.job, found)

    def _decide(self, duty: Duty, now: datetime) -> Look | None:
        duty.settled = duty.begins(now)
        found = due(duty.job, duty.settled, now)
        return (
            None if found.is_nothing else Look(duty, found, [self._reserve(duty, at, found, now) for at in found.runs])
        )

    def _reserve(self, duty: Duty, at: datetime, found: Due, now: datetime) -> RunRow:
        is_late = len(found.runs) > 1 or found.missed > 0
        cause = Cause.CATCH_UP if is_late else Cause.SCHEDULE
        return duty.reserve(at, cause, now, together=len(found.runs) > 1)

    def _place(self, duty: Duty, run: RunRow, *, is_new: bool) -> None:
        if not is_new:
            duty.give_up(run)
        elif run.state is RunState.SKIPPED:
            self._note(duty, run)
        elif duty.running is run:
            self._soon(self._play(duty, run))

    def _look_at_all(self) -> None:
        self._look_soon(tuple(self._duties))

    def _look_soon(self, keys: tuple[Key, ...]) -> None:
        self._soon(self.look(*keys))

    # One run

    async def run_now(self, service: str, name: str, actor: str) -> RunRow:
        """A person's wish: run a job once, beside its times. It obeys the job's `overlap`."""
        key = ServiceName(service), name
        duty = self._duties.get(key)
        if duty is None:
            raise Unknown(f"{service} has no job {name}" if key[0] in self._standings else f"there is no {service}")
        if duty.running is not None and (duty.job.overlap == "skip" or duty.waiting):
            raise Refusal(f"{name} of {service} is running: {duty.running.id}")
        now = self._clock()
        run = duty.reserve(now, Cause.PERSON, now, actor=actor)
        try:
            is_new = await self._journal.write(lambda entries: entries.begin_run(run))
        except BaseException:
            duty.give_up(run)
            raise
        self._place(duty, run, is_new=is_new)
        if not is_new:
            raise Refusal(f"{run.id} was begun already")
        return run

    async def _play(self, duty: Duty, run: RunRow) -> None:
        """From a place that it has to its end, and on to the next that waits."""
        try:
            ended, outcome = await take_turn(self._turns, partial(self._carry_out, duty, run), held=TURN)
        except asyncio.CancelledError:
            ended, outcome = run, Outcome(RunState.INTERRUPTED, STOPPED)
        except Exception:
            log.exception("a bug stopped a run", extra={"run": run.id})
            ended, outcome = run, Outcome(RunState.FAILED, BUG)
        await self._end(duty, ended, outcome)
        duty.running = None
        self._begin_next(duty)

    async def _carry_out(self, duty: Duty, run: RunRow) -> tuple[RunRow, Outcome]:
        standing = self._standings.get(duty.job.service)
        if standing is None:
            return run, Outcome(RunState.SKIPPED, GONE)
        if run.state is RunState.QUEUED:
            # It is an intent from here on, and never begun again by another control.
            await self._journal.change_run(run.id, state=RunState.INTENDED)
        live = standing.live
        run = duty.running = replace(run, state=RunState.RUNNING, release=live.release, started_at=self._clock())
        self._journal.later(partial(_started, run=run))
        log.info("run", extra={"run": run.id, "release": live.release})
        return run, await self._perform(duty.job, run, live, partial(self._serves, live))

    def _serves(self, live: Live) -> bool:
        standing = self._standings.get(live.recipe.service)
        return standing is not None and standing.live.crew is live.crew

    def _begin_next(self, duty: Duty) -> None:
        if self._resting or not self._begun or duty.running is not None:
            return
        run = duty.next_waiting()
        if run is not None:
            self._soon(self._play(duty, run))

    async def _end(self, duty: Duty | None, run: RunRow, outcome: Outcome) -> None:
        ended = replace(
            run,
            state=outcome.state,
            finished_at=self._clock(),
            message=outcome.message,
            detail=outcome.detail,
        )
        try:
            await self._journal.write(partial(_finished, run=ended))
        except StoreUnusable:
            log.exception("the end of a run could not be written down", extra={"run": run.id})
        if duty is not None:
            self._note(duty, ended)

    def _note(self, duty: Duty, run: RunRow) -> None:
        tell_end(self._standings.get(run.service), run, before=duty.last[-1] if duty.last else None)
        duty.remember(run)

    # What a former control left under way

    async def _close_the_book(self, run: RunRow) -> None:
        """What waited waits on; what was begun is known to a worker that is still busy with it, or to nobody."""
        duty = self._duties.get((run.service, run.job))
        if run.state is RunState.QUEUED and duty is not None:
            duty.waiting += (run,)
        elif run.state is RunState.QUEUED:
            await self._end(duty, run, Outcome(RunState.SKIPPED, GONE))
        elif duty is not None and (worker := await self._busy_with(duty, run)) is not None:
            duty.running = run
            self._soon(self._hear_out(duty, run, worker))
        else:
            await self._end(duty, run, Outcome(RunState.UNKNOWN, ENDED))

    async def _busy_with(self, duty: Duty, run: RunRow) -> Worker | None:
        standing = self._standings.get(duty.job.service)
        if standing is None or duty.job.call is None:
            return None
        deadline = asyncio.get_running_loop().time() + HEARD_WITHIN
        while asyncio.get_running_loop().time() < deadline:
            for worker in standing.live.crew.workers:
                if worker.knows(run.id):
                    return worker
            await asyncio.sleep(HEARD_EVERY)
        return None

    async def _hear_out(self, duty: Duty, run: RunRow, worker: Worker) -> None:
        await self._end(duty, run, await worker.called(run.id, duty.job.timeout))
        duty.running = None
        self._begin_next(duty)

    # What it says

    def duties(self, service: ServiceName) -> list[tuple[Duty, datetime | None]]:
        """The jobs of a service and when each is due next, in the order of its manifest."""
        standing = self._standings.get(service)
        keys = [(service, job.name) for job in standing.live.recipe.jobs] if standing is not None else []
        return [(self._duties[key], self._alarm.next(key)) for key in keys if key in self._duties]

    def _soon(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _everything(entries: Transaction) -> tuple[tuple[JobRow, ...], tuple[RunRow, ...], tuple[RunRow, ...]]:
    return entries.jobs(), entries.last_runs(OUTCOMES_KEPT), entries.unfinished_runs()


def _settle(entries: Transaction, *, looks: Iterable[Look]) -> frozenset[RunId]:
    new: list[RunId] = []
    for look in looks:
        job, found = look.duty.job, look.found
        new += entries.settle_job(job.service, job.name, found.settled, found.missed, look.runs)
    return frozenset(new)


def _follow(entries: Transaction, *, service: ServiceName, rows: Iterable[JobRow], at: datetime) -> None:
    entries.follow_jobs(service, rows, at)


def _started(entries: Transaction, *, run: RunRow) -> None:
    entries.change_run(run.id, state=run.state, release=run.release, started_at=run.started_at)


def _finished(entries: Transaction, *, run: RunRow) -> None:
    entries.change_run(run.id, state=run.state, finished_at=run.finished_at, message=run.message, detail=run.detail)
