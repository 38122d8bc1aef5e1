"""The jobs of all live releases: looked at when they may be due, written down before they begin, told when they end.

What is due is decided by a pure function from a job, what is settled, and the time. A run is begun only when its
name, which follows from its scheduled time, was new to the journal: that alone keeps a time from being run twice,
whatever clocks, restarts and releases do. What was under way when control ended is told as unknown, and not tried
again.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice, zip_longest

from reconciler.control.account import Account
from reconciler.control.cron.alarm import Alarm, Key
from reconciler.control.cron.course import GONE, Course, Roster
from reconciler.control.cron.duty import OUTCOMES_KEPT, Duty
from reconciler.control.cron.performance import Perform, perform
from reconciler.control.cron.telling import Standing, tell_missed
from reconciler.control.live import Live
from reconciler.model.job import Job
from reconciler.model.names import ServiceName
from reconciler.model.refusal import Refusal, Unknown
from reconciler.model.run import Cause, Outcome, RunState
from reconciler.model.timetable import Due, due
from reconciler.store.insisting import STORE_RETRY
from reconciler.store.journal import Journal, Transaction
from reconciler.store.rows import JobRow, RunRow
from reconciler.store.runs import Settled
from reconciler.store.unusable import StoreUnusable
from reconciler.worker.worker import Worker

log = logging.getLogger(__name__)

LOOKED_TOGETHER = 50
HEARD_WITHIN = 1.0
HEARD_EVERY = 0.02
ENDED = "the control plane ended while it was under way; whether it was done is not known"


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

    @property
    def settled(self) -> Settled:
        job, found = self.duty.job, self.found
        return Settled(job.service, job.name, found.settled, found.missed, self.runs)


class Cron:
    def __init__(
        self, journal: Journal, *, clock: Callable[[], datetime] = utc_now, perform: Perform = perform
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._roster = Roster()
        self._course = Course(self._roster, journal, clock, perform)
        self._alarm = Alarm(self.look, self._look_at_all)
        self._memories: dict[Key, Memory] = {}
        self._unfinished: tuple[RunRow, ...] = ()
        self._wanted: dict[Key, None] = {}
        """Who is to be looked at next."""
        self._looking: asyncio.Task[None] | None = None

    def give_way(self, is_under_way: Callable[[], bool]) -> None:
        """Runs go behind whatever is under way when this says so."""
        self._course.gives_way = is_under_way

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
        self._course.soon(self._begin())

    async def _begin(self) -> None:
        closed = await asyncio.gather(*map(self._close_the_book, self._unfinished), return_exceptions=True)
        for bug in filter(None, closed):
            log.error("a bug kept the book of a run open", exc_info=bug)
        self._course.opened.set()
        if self._course.is_open:
            self._alarm.start()
            await self.look(*self._roster.duties)

    def rest(self) -> None:
        """Begin nothing more: the platform is going down."""
        self._course.resting = True
        self._alarm.stop()

    async def settle(self) -> None:
        """Wait until what runs has ended, as it does with its worker."""
        await self._course.settle()

    # Which jobs there are

    def follow(self, live: Live, account: Account) -> None:
        """This release has the traffic: its jobs run from now on, and no others of its service."""
        service, now = live.recipe.service, self._clock()
        before = self._keys(service)
        self._roster.standings[service] = Standing(live, account)
        jobs = {job.name: job for job in live.recipe.jobs}
        gone = [key for key in before if key[1] not in jobs]
        new = [job for job in jobs.values() if self._is_new(job)]
        for key in gone:
            self._drop(key)
        for job in jobs.values():
            self._take_on(job, now)
        if gone or new:
            rows = [self._roster.duties[service, name].row() for name in jobs]
            self._journal.later(partial(_follow, service=service, rows=rows, at=now))

    def forget(self, service: ServiceName) -> None:
        """Nothing of it serves any more."""
        keys = self._keys(service)
        for key in keys:
            self._drop(key)
        self._roster.standings.pop(service, None)
        if keys:
            self._journal.later(partial(_follow, service=service, rows=(), at=self._clock()))

    def _keys(self, service: ServiceName) -> list[Key]:
        standing = self._roster.standings.get(service)
        return [(service, job.name) for job in standing.live.recipe.jobs] if standing is not None else []

    def _is_new(self, job: Job) -> bool:
        duty = self._roster.duties.get((job.service, job.name))
        return duty is None or duty.job.times != job.times

    def _take_on(self, job: Job, now: datetime) -> None:
        key = job.service, job.name
        duty, is_new = self._roster.duties.get(key), self._is_new(job)
        if duty is None:
            duty = self._roster.duties[key] = self._remembered(key, job, now)
        elif is_new:
            # Times that are past were never times of this schedule.
            duty.settled = max(duty.settled, now)
        duty.job = job
        if is_new:
            self._alarm.set(key, job)
            self._look_soon((key,))

    def _remembered(self, key: Key, job: Job, now: datetime) -> Duty:
        memory = self._memories.pop(key, Memory())
        row = memory.row
        if row is None:
            return Duty(job, now)
        goes_on = row.gone_at is None and row.times == job.times
        return Duty(job, row.settled if goes_on else now, row.forgotten, row.missed, last=memory.last)

    def _drop(self, key: Key) -> None:
        duty = self._roster.duties.pop(key)
        self._alarm.clear(key)
        self._memories[key] = Memory(replace(duty.row(), gone_at=self._clock()), duty.last)
        for run in duty.waiting:
            self._course.soon(self._course.end(duty, run, Outcome(RunState.SKIPPED, GONE)))
        duty.waiting = ()

    # What is due

    async def look(self, *keys: Key) -> None:
        """See to it that what of these jobs is due begins. Looking twice finds nothing the second time."""
        if not self._course.is_open:
            return
        self._wanted.update(dict.fromkeys(_fairly(keys)))
        if self._looking is None or self._looking.done():
            self._looking = self._course.soon(self._look())

    async def _look(self) -> None:
        """One after the other: who is asked for while it is looked at is looked at again."""
        # Whoever wakes at the same moment is looked at, and written down, together.
        await asyncio.sleep(0)
        while self._wanted and self._course.is_open:
            keys = tuple(islice(self._wanted, LOOKED_TOGETHER))
            for key in keys:
                del self._wanted[key]
            duties = [self._roster.duties[key] for key in keys if key in self._roster.duties]
            try:
                await self._look_at(duties)
            except StoreUnusable as unusable:
                # Nothing is begun that is not written down first.
                log.warning("jobs have to wait for the journal", extra={"jobs": len(duties), "why": str(unusable)})
                asyncio.get_running_loop().call_later(STORE_RETRY, self._look_soon, keys)
            for duty in duties:
                self._course.begin_next(duty)
            # Ten thousand of them shall keep nobody waiting.
            await self._course.let_others_go()

    async def _look_at(self, duties: Iterable[Duty]) -> None:
        now = self._clock()
        looks = [look for duty in duties if (look := self._decide(duty, now)) is not None]
        if not looks:
            return
        try:
            new = await self._journal.settle_jobs([look.settled for look in looks])
        except BaseException:
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
                tell_missed(self._roster.standings.get(duty.job.service), duty.job, found)

    def _decide(self, duty: Duty, now: datetime) -> Look | None:
        try:
            duty.settled = duty.begins(now)
            found = due(duty.job, duty.settled, now)
        except Exception:
            # One that cannot be told is no reason to leave out the others.
            log.exception(
                "a bug keeps a job from its times", extra={"job": "/".join((duty.job.service, duty.job.name))}
            )
            return None
        if found.is_nothing:
            return None
        return Look(duty, found, [self._reserve(duty, at, found, now) for at in found.runs])

    def _reserve(self, duty: Duty, at: datetime, found: Due, now: datetime) -> RunRow:
        is_late = len(found.runs) > 1 or found.missed > 0
        cause = Cause.CATCH_UP if is_late else Cause.SCHEDULE
        return duty.reserve(at, cause, now, together=len(found.runs) > 1)

    def _place(self, duty: Duty, run: RunRow, *, is_new: bool) -> None:
        if not is_new:
            duty.give_up(run)
        elif run.state is RunState.SKIPPED:
            self._course.note(duty, run)
        elif duty.running is run:
            self._course.begin(duty, run)

    def _look_at_all(self) -> None:
        self._look_soon(tuple(self._roster.duties))

    def _look_soon(self, keys: tuple[Key, ...]) -> None:
        self._course.soon(self.look(*keys))

    # One run

    async def run_now(self, service: str, name: str, actor: str) -> RunRow:
        """A person's wish: run a job once, beside its times. It obeys the job's `overlap`."""
        await self._course.opened.wait()
        key = ServiceName(service), name
        duty = self._roster.duties.get(key)
        if duty is None:
            raise self._no_job(key)
        if duty.running is not None and (duty.job.overlap == "skip" or duty.waiting):
            raise Refusal(f"{name} of {service} is running: {duty.running.id}")
        now = self._clock()
        run = duty.reserve(now, Cause.PERSON, now, actor=actor)
        try:
            is_new = run.id in await self._journal.begin_runs([run])
        except BaseException:
            duty.give_up(run)
            raise
        self._place(duty, run, is_new=is_new)
        if not is_new:
            raise Refusal(f"{run.id} was begun already")
        return run

    def _no_job(self, key: Key) -> Unknown:
        service, name = key
        if service not in self._roster.standings:
            return Unknown(f"{service} has no job {name}: no release of it serves")
        others = ", ".join(other for _, other in self._keys(service))
        return Unknown(f"{service} has no job {name}; " + (f"it has {others}" if others else "it has none at all"))

    # What a former control left under way

    async def _close_the_book(self, run: RunRow) -> None:
        """What waited waits on; what was begun is known to a worker that is still busy with it, or to nobody."""
        duty = self._roster.duties.get((run.service, run.job))
        if run.state is RunState.QUEUED and duty is not None:
            duty.waiting += (run,)
        elif run.state is RunState.QUEUED:
            await self._course.end(duty, run, Outcome(RunState.SKIPPED, GONE))
        elif duty is not None and (worker := await self._busy_with(duty, run)) is not None:
            duty.running = run
            self._course.hear_out(duty, run, partial(worker.called, run.id, duty.job.timeout))
        else:
            await self._course.end(duty, run, Outcome(RunState.UNKNOWN, ENDED))

    async def _busy_with(self, duty: Duty, run: RunRow) -> Worker | None:
        standing = self._roster.standings.get(duty.job.service)
        if standing is None or duty.job.call is None:
            return None
        deadline = asyncio.get_running_loop().time() + HEARD_WITHIN
        while asyncio.get_running_loop().time() < deadline:
            for worker in standing.live.crew.workers:
                if worker.knows(run.id):
                    return worker
            await asyncio.sleep(HEARD_EVERY)
        return None

    # What it says

    def duties(self, service: ServiceName) -> list[tuple[Duty, datetime | None]]:
        """The jobs of a service and when each is due next, in the order of its manifest."""
        found = ((self._roster.duties.get(key), self._alarm.next(key)) for key in self._keys(service))
        return [(duty, following) for duty, following in found if duty is not None]


def _fairly(keys: Iterable[Key]) -> list[Key]:
    """One job of each service, then the next of each: nobody's many keep another's one waiting."""
    by_service: dict[ServiceName, list[Key]] = defaultdict(list)
    for key in keys:
        by_service[key[0]].append(key)
    return [key for together in zip_longest(*by_service.values()) for key in together if key is not None]


def _everything(entries: Transaction) -> tuple[tuple[JobRow, ...], tuple[RunRow, ...], tuple[RunRow, ...]]:
    return entries.jobs(), entries.last_runs(OUTCOMES_KEPT), entries.unfinished_runs()


def _follow(entries: Transaction, *, service: ServiceName, rows: Iterable[JobRow], at: datetime) -> None:
    entries.follow_jobs(service, rows, at)
