"""When a job is due: from its schedule, what is settled already, and the time it is now.

Times are computed by cronsim, which does as Debian's cron: a job at a fixed hour runs once when clocks are set back,
and right after the gap when its time is skipped; a job that runs every so often follows real time. Everything here
is counted in UTC. Refuses to look at a clock: whoever asks says what time it is.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from reconciler.model.cron import expression
from reconciler.model.job import Job

ON_TIME: Final = timedelta(seconds=30)
"""What is found this late was not missed: a clock is looked at that often, and control starts again that fast."""
MOST_COUNTED: Final = 10_000
"""Missed times beyond it are not counted one by one."""
_FIRST_WINDOW: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at one job found."""

    runs: tuple[datetime, ...]
    """Scheduled times to run now, in order."""
    missed: int
    """Scheduled times that are past and will not run; not more than `MOST_COUNTED`."""
    settled: datetime
    """The newest scheduled time that was looked at: the next look begins after it."""

    @property
    def is_nothing(self) -> bool:
        return not self.runs and not self.missed


def times(schedule: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Every time after one, in UTC and in order."""
    begin = after.astimezone(UTC if timezone == "UTC" else ZoneInfo(timezone))
    for local in CronSim(expression(schedule), begin):
        at = local.astimezone(UTC)
        # Begun within an hour that comes twice, cronsim names that hour's first coming, which is over.
        if at > after:
            yield at


def next_time(job: Job, now: datetime) -> datetime | None:
    """When it is due next, its jitter included; None when it never is again."""
    spread = jitter(job)
    at = next(times(job.schedule, job.timezone, now - spread), None)
    return None if at is None else at + spread


def jitter(job: Job) -> timedelta:
    """How much later than its schedule a job starts: always the same for one job."""
    if job.jitter <= 0:
        return timedelta()
    share = int.from_bytes(hashlib.sha256(f"{job.service}.{job.name}".encode()).digest()[:6]) / (1 << 48)
    return timedelta(milliseconds=round(job.jitter * 1000 * share))


def due(job: Job, settled: datetime, now: datetime) -> Due:
    """What of a job's times since `settled` is to run now, and how many are given up."""
    return _due(job.schedule, job.timezone, job.most_caught_up, settled, now - jitter(job))


@lru_cache(maxsize=64)
def _due(schedule: str, timezone: str, made_good: int, settled: datetime, until: datetime) -> Due:
    """Asked by many jobs at once, as a rule by all of them the same."""
    count = sum(1 for _ in islice(_between(schedule, timezone, settled, until), MOST_COUNTED))
    if not count:
        return Due((), 0, settled)
    newest = _newest(schedule, timezone, settled, until, max(1, made_good))
    runs = [at for at in newest if made_good or until - at <= ON_TIME]
    return Due(tuple(runs), max(0, count - len(runs)), newest[-1])


def _newest(schedule: str, timezone: str, settled: datetime, until: datetime, wanted: int) -> list[datetime]:
    """The last few times; a long absence of a frequent job is not gone through from its beginning."""
    window = _FIRST_WINDOW
    while True:
        begin = max(settled, until - window)
        found = list(_between(schedule, timezone, begin, until))
        if begin == settled or len(found) >= wanted:
            return found[-wanted:]
        window *= 8


def _between(schedule: str, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    for at in times(schedule, timezone, after):
        if at > until:
            return
        yield at
