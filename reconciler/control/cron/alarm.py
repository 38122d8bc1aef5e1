"""Wakes cron when jobs may be due; what is due, cron finds out by itself.

An APScheduler in memory only: the journal is the truth. It says *when to look* and nothing else, so that it does not
matter whether it wakes too early, too late, or twice. Jobs that are due at the same times share one bell: what ten
thousand of them cost is what their different schedules cost. A clock that is set while it sleeps is noticed within
half a minute.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeAlias

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from reconciler.model.cron import expression
from reconciler.model.job import Job
from reconciler.model.names import ServiceName
from reconciler.model.timetable import jitter, next_time

Key: TypeAlias = tuple[ServiceName, str]
Look: TypeAlias = Callable[..., Awaitable[None]]

SLEEPS_AT_MOST = 30.0
STEP = 1.0
"""Seconds by which a clock may differ from its own past without having been set."""


class Times(BaseTrigger):  # type: ignore[misc]
    """The times of a job, as cronsim computes them; APScheduler's own reading of crontab is another."""

    __slots__ = ("job",)

    def __init__(self, job: Job) -> None:
        self.job = job

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        return next_time(self.job, now if previous is None else max(previous, now))


class Alarm:
    def __init__(self, look: Look, look_at_all: Callable[[], None]) -> None:
        # It would tell of every job that it is given, and of every look.
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._look = look
        self._scheduler = _Scheduler(look_at_all)
        self._bells: dict[str, dict[Key, None]] = {}
        """Who is to be looked at when one rings."""
        self._bell_of: dict[Key, str] = {}

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def set(self, key: Key, job: Job) -> None:
        """Wake for this job from now on, whatever it was before."""
        self.clear(key)
        bell = _bell(job)
        if bell not in self._bells:
            # A look that is late is no misfire, and one look finds everything.
            given = {"misfire_grace_time": None, "coalesce": True}
            self._scheduler.add_job(self._ring, Times(job), (bell,), id=bell, name=bell, **given)
        self._bells.setdefault(bell, {})[key] = None
        self._bell_of[key] = bell

    def clear(self, key: Key) -> None:
        bell = self._bell_of.pop(key, None)
        if bell is None:
            return
        del self._bells[bell][key]
        if not self._bells[bell]:
            del self._bells[bell]
            # One that will never ring again has gone by itself.
            if self._scheduler.get_job(bell) is not None:
                self._scheduler.remove_job(bell)

    def next(self, key: Key) -> datetime | None:
        """When it wakes for this job."""
        bell = self._bell_of.get(key)
        return None if bell is None else getattr(self._scheduler.get_job(bell), "next_run_time", None)

    async def _ring(self, bell: str) -> None:
        await self._look(*self._bells.get(bell, ()))


class _Scheduler(AsyncIOScheduler):  # type: ignore[misc]
    def __init__(self, look_at_all: Callable[[], None]) -> None:
        super().__init__(timezone=UTC)
        self._look_at_all = look_at_all
        self._waking = False
        self._seen = _clocks()

    def wakeup(self) -> None:
        """Also asked for by every single job that is added."""
        if not self._waking:
            self._waking = True
            super().wakeup()

    def _process_jobs(self) -> float | None:
        self._waking = False
        if self._clock_was_set():
            self._begin_anew()
        wait: float | None = super()._process_jobs()
        return wait

    def _start_timer(self, wait_seconds: float | None) -> None:
        super()._start_timer(None if wait_seconds is None else min(wait_seconds, SLEEPS_AT_MOST))

    def _clock_was_set(self) -> bool:
        (monotonic, wall), self._seen = self._seen, _clocks()
        elapsed = self._seen[0] - monotonic
        return abs(self._seen[1] - wall - elapsed) > STEP

    def _begin_anew(self) -> None:
        """What was to wake at a time that is far away now is asked again."""
        now = datetime.now(UTC)
        for job in self.get_jobs():
            self.modify_job(job.id, next_run_time=job.trigger.get_next_fire_time(None, now))
        self._look_at_all()


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.time()


def _bell(job: Job) -> str:
    """The same for all that are due at the same times, however they are written."""
    spread = jitter(job).total_seconds()
    return f"{expression(job.schedule)} {job.timezone}" + (f" +{spread:g}s" if spread else "")
