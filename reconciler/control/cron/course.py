"""The course of one run: from the place that it was given to its end, and on to the next that waits.

A few runs begin at a time, and while a release is under way each of them lets that go first for a moment. A run belongs
to the release that serves when it begins. Refuses to decide what is due.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from reconciler.control.cron.alarm import Key
from reconciler.control.cron.book import Book
from reconciler.control.cron.duty import Duty
from reconciler.control.cron.performance import NotBegun, Perform
from reconciler.control.cron.telling import Standing, tell_end
from reconciler.control.live import Live
from reconciler.model.names import ServiceName
from reconciler.model.run import Outcome, RunState
from reconciler.store.insisting import insist
from reconciler.store.journal import Journal
from reconciler.store.rows import RunRow
from reconciler.worker.slot import take_turn

log = logging.getLogger(__name__)

BEGIN_TOGETHER = 6
TURN = 0.05
"""A run keeps the others of its second waiting until it is done, for so long at the most."""
GIVES_WAY = 0.02
"""Seconds for which a run lets a release that is under way go first; then it begins, and does not wait for its end."""
SETTLES_WITHIN = 10.0
LAST_WORDS = 2.0
GONE = "the service has no such job any more"
STOPPED = "the platform had to go before it was done"
BUG = "the reconciler itself failed; its log says how"


@dataclass(frozen=True, slots=True)
class Roster:
    """Which jobs there are, and which release has them at the moment."""

    duties: dict[Key, Duty] = field(default_factory=dict)
    standings: dict[ServiceName, Standing] = field(default_factory=dict)

    def standing_for(self, duty: Duty) -> Standing | None:
        """The release that serves now, where it has this job."""
        job = duty.job
        return self.standings.get(job.service) if self.duties.get((job.service, job.name)) is duty else None

    def serves(self, live: Live) -> bool:
        standing = self.standings.get(live.recipe.service)
        return standing is not None and standing.live.crew is live.crew


class Course:
    def __init__(self, roster: Roster, journal: Journal, clock: Callable[[], datetime], perform: Perform) -> None:
        self.gives_way: Callable[[], bool] = lambda: False
        """Whether a release is under way."""
        self.opened = asyncio.Event()
        """Set when runs may begin: what a former control left is known by then."""
        self.resting = False
        """Nothing more begins: the platform is going down."""
        self._roster = roster
        self._journal = journal
        self._clock = clock
        self._perform = perform
        self._book = Book(journal)
        self._turns = asyncio.Semaphore(BEGIN_TOGETHER)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        return self.opened.is_set() and not self.resting

    def soon(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settle(self) -> None:
        """Wait until what runs has ended, as it does with its worker."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLES_WITHIN):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS)
        await self._book.close()

    async def let_others_go(self) -> None:
        await asyncio.sleep(GIVES_WAY if self.gives_way() else 0)

    def begin(self, duty: Duty, run: RunRow) -> None:
        """It has its place and is written down: do it when it has its turn."""
        self.hear_out(duty, run, partial(take_turn, self._turns, partial(self._carry_out, duty, run), held=TURN))

    def begin_next(self, duty: Duty) -> None:
        if self.is_open and (run := duty.next_waiting()) is not None:
            self.begin(duty, run)

    def hear_out(self, duty: Duty, run: RunRow, carry_out: Callable[[], Awaitable[Outcome]]) -> None:
        """It is under way, or will be: wait for its end, whatever that is."""
        self.soon(self._play(duty, run, carry_out))

    async def end(self, duty: Duty | None, run: RunRow, outcome: Outcome) -> None:
        ended = replace(
            run,
            state=outcome.state,
            finished_at=self._clock(),
            message=outcome.message,
            detail=outcome.detail,
        )
        # Others wait for the same write.
        await asyncio.shield(self._book.note(ended))
        if duty is not None:
            self.note(duty, ended)

    def note(self, duty: Duty, run: RunRow) -> None:
        """Tell of a run that is over."""
        tell_end(self._roster.standings.get(run.service), run, before=duty.last[-1] if duty.last else None)
        duty.remember(run)

    async def _play(self, duty: Duty, run: RunRow, carry_out: Callable[[], Awaitable[Outcome]]) -> None:
        try:
            outcome = await carry_out()
        except asyncio.CancelledError:
            outcome = Outcome(RunState.INTERRUPTED, STOPPED)
        except Exception:
            log.exception("a bug stopped a run", extra={"run": run.id})
            outcome = Outcome(RunState.FAILED, BUG)
        await self.end(duty, duty.running or run, outcome)
        duty.running = None
        self.begin_next(duty)

    async def _carry_out(self, duty: Duty, run: RunRow) -> Outcome:
        await self.let_others_go()
        if run.state is RunState.QUEUED:
            await self._intend(run)
        while not self.resting:
            standing = self._roster.standing_for(duty)
            if standing is None:
                return Outcome(RunState.SKIPPED, GONE)
            live = standing.live
            run = duty.running = replace(run, state=RunState.RUNNING, release=live.release, started_at=self._clock())
            self._book.note(run)
            log.info("run", extra={"run": run.id, "release": live.release})
            with contextlib.suppress(NotBegun):
                return await self._perform(duty.job, run, live, partial(self._serves, live))
        return Outcome(RunState.INTERRUPTED, STOPPED)

    def _serves(self, live: Live) -> bool:
        return self._roster.serves(live) and not self.resting

    async def _intend(self, run: RunRow) -> None:
        """What waited is an intent from here on, and never begun again by another control."""
        intended = [replace(run, state=RunState.INTENDED)]
        await insist(lambda: self._journal.change_runs(intended), "a run has to wait for the journal", run=run.id)
