"""When jobs are due: across changes of the clock in every zone that does it oddly, and after an absence."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from reconciler.model.job import Job
from reconciler.model.names import ServiceName
from reconciler.model.run import run_id
from reconciler.model.timetable import MOST_COUNTED, due, jitter, next_time, times
from tests.cron.oracle import expected
from tests.documents import ROOT

PAGE = ROOT / "docs" / "cron.md"
ZONES = ("Europe/Madrid", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Africa/Casablanca")
"""Ordinary ones, one whose gap is at midnight, one that moves by half an hour, one that moves with the moon."""
SCHEDULES = (
    "30 2 * * *",
    "0 0 * * *",
    "0,30 2,3 * * *",
    "15 * * * *",
    "*/15 * * * *",
    "* * * * *",
    "*/20 2 * * *",
    "5 3 * * 0",
    "59 23 * * *",
    "45 1 1 * *",
)
ODD = {("Australia/Lord_Howe", "*/20 2 * * *")}
"""Where a clock is set back by half an hour cronsim leaves out the beginning of a fixed hour; the page says so."""
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def job(schedule: str = "* * * * *", **more: object) -> Job:
    given = {"service": ServiceName("tasks"), "name": "tidy", "timezone": "UTC", "request": "POST /tidy", "call": None}
    return Job(**{**given, "schedule": schedule, **more})  # type: ignore[arg-type]


@cache
def changes(zone: str, first: int = 2024, last: int = 2030) -> tuple[datetime, ...]:
    """Every instant at which a zone's clocks are moved."""
    local, at, end = ZoneInfo(zone), datetime(first, 1, 1, tzinfo=UTC), datetime(last + 1, 1, 1, tzinfo=UTC)
    found = []
    while at < end:
        if at.astimezone(local).utcoffset() != (at + DAY).astimezone(local).utcoffset():
            moved = at
            while moved.astimezone(local).utcoffset() == at.astimezone(local).utcoffset():
                moved += MINUTE
            found.append(moved)
        at += DAY
    return tuple(found)


@pytest.mark.parametrize("zone", ZONES)
def test_every_change_of_the_clock_until_2030_gives_the_runs_of_the_rule(zone: str) -> None:
    assert len(changes(zone)) >= 14
    for moved in changes(zone):
        begin, end = moved - DAY, moved + DAY
        for schedule in SCHEDULES:
            if (zone, schedule) in ODD:
                continue
            ours = list(span(schedule, zone, begin, end))
            assert ours == expected(schedule, zone, begin, end), f"{schedule} around {moved}"


@pytest.mark.parametrize("zone", ZONES)
def test_whenever_one_begins_to_ask_the_next_time_is_the_same(zone: str) -> None:
    """A control plane may start again at any minute of such a night."""
    for moved in changes(zone, 2026, 2027):
        for schedule in ("30 2 * * *", "0 0 * * *", "*/15 * * * *", "15 * * * *"):
            planned = list(span(schedule, zone, moved - DAY, moved + 2 * DAY))
            begin = moved - timedelta(hours=3)
            while begin < moved + timedelta(hours=3):
                following = next(at for at in planned if at > begin)
                assert next(times(schedule, zone, begin)) == following, f"{schedule} asked at {begin}"
                begin += timedelta(minutes=5)


def span(schedule: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    for at in times(schedule, zone, after):
        if at > until:
            return
        yield at


def test_the_run_lists_of_the_page_are_what_happens() -> None:
    shown = re.search(r"<!-- the nights of 2027 -->\n(.*?)\n\n", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] == nights_of_2027()


def nights_of_2027() -> str:
    """Run `python -m tests.cron.test_timetable` to print it anew."""
    rows = ["| zone | clocks | `30 2 * * *` | `0 0 * * *` | `*/30 * * * *`, around it |", "|---|---|---|---|---|"]
    for zone in ZONES:
        for moved in changes(zone, 2027, 2027):
            before, after = ((moved + side).astimezone(ZoneInfo(zone)) for side in (-MINUTE, timedelta()))
            cells = [night(schedule, zone, moved) for schedule in ("30 2 * * *", "0 0 * * *")]
            cells.append(around(zone, moved))
            rows.append(f"| {zone} | {before:%d %b %H:%M} → {after:%H:%M} | {' | '.join(cells)} |")
    return "\n".join(rows)


def night(schedule: str, zone: str, moved: datetime) -> str:
    """The runs of the local day on which the clocks are moved."""
    local = ZoneInfo(zone)
    day = moved.astimezone(local).date()
    found = span(schedule, zone, moved - timedelta(hours=26), moved + DAY)
    return ", ".join(told(at, local) for at in found if at.astimezone(local).date() == day)


def around(zone: str, moved: datetime) -> str:
    found = span("*/30 * * * *", zone, moved - timedelta(minutes=61), moved + timedelta(minutes=31))
    return ", ".join(told(at, ZoneInfo(zone)) for at in found)


def told(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%H:%M} ({at:%H:%M}Z)"


# What is due


NOW = moment("2026-11-20 12:00:00.250000")


def test_three_hours_down_with_a_job_each_minute_is_one_run_and_the_rest_reported() -> None:
    found = due(job(), NOW - timedelta(hours=3), NOW)
    assert (found.runs, found.missed, found.settled) == ((moment("2026-11-20 12:00"),), 179, moment("2026-11-20 12:00"))


@pytest.mark.parametrize(
    ("catch_up", "runs", "missed"), [("none", 0, 8), ("latest", 1, 7), ("all(3)", 3, 5), ("all(100)", 8, 0)]
)
def test_how_much_is_made_good_is_the_jobs_own_choice(catch_up: str, runs: int, missed: int) -> None:
    found = due(job("30 * * * *", catch_up=catch_up), NOW - timedelta(hours=8), NOW)
    assert (len(found.runs), found.missed, found.settled) == (runs, missed, moment("2026-11-20 11:30"))
    assert list(found.runs) == sorted(found.runs)
    assert due(job("30 * * * *", catch_up=catch_up), found.settled, NOW).is_nothing


@pytest.mark.parametrize("catch_up", ["none", "latest", "all(5)"])
def test_what_is_only_a_little_late_was_not_missed(catch_up: str) -> None:
    found = due(job(catch_up=catch_up), moment("2026-11-20 11:59"), moment("2026-11-20 12:00:29"))
    assert (found.runs, found.missed) == ((moment("2026-11-20 12:00"),), 0)


def test_a_year_of_absence_is_looked_at_in_an_instant() -> None:
    found = due(job(catch_up="all(50)"), NOW - timedelta(days=365), NOW)
    assert len(found.runs) == 50
    assert [later - earlier for earlier, later in pairwise(found.runs)] == [MINUTE] * 49
    assert found.missed == MOST_COUNTED - 50
    rare = due(job("0 0 1 1 *", catch_up="all(5)"), NOW - timedelta(days=1000), NOW)
    assert rare.runs == (moment("2025-01-01"), moment("2026-01-01"))


def test_a_clock_that_was_set_back_makes_nothing_due() -> None:
    assert due(job(), NOW, NOW - DAY).is_nothing


def test_jitter_moves_the_start_and_not_the_name_of_a_run() -> None:
    jittered = job("0 * * * *", jitter=600.0)
    spread = jitter(jittered)
    assert timedelta() < spread < timedelta(minutes=10)
    assert next_time(jittered, moment("2026-11-20 12:30")) == moment("2026-11-20 13:00") + spread
    noon, before = moment("2026-11-20 12:00"), moment("2026-11-20 11:30")
    assert due(jittered, before, noon + spread - timedelta(seconds=1)).is_nothing
    assert due(jittered, before, noon + spread).runs == (noon,)
    assert next_time(jittered, noon + spread) == moment("2026-11-20 13:00") + spread


def test_jobs_that_share_a_time_are_spread_over_the_whole_jitter() -> None:
    spread = {jitter(job(name=f"job-{n}", jitter=60.0)) for n in range(200)}
    assert len(spread) > 190
    assert min(spread) < timedelta(seconds=5)
    assert max(spread) > timedelta(seconds=55)


def test_a_schedule_that_rarely_fires_still_does() -> None:
    assert next_time(job("0 0 29 2 *"), NOW) == moment("2028-02-29")
    assert list(islice(times("0 0 * * 5#5", "UTC", NOW), 2)) == [moment("2027-01-29"), moment("2027-04-30")]


# What a run is called


def test_the_name_of_a_run_follows_from_its_job_and_its_time() -> None:
    assert run_id(ServiceName("tasks"), "tidy", moment("2026-11-20 12:00")) == "tasks.tidy.20261120T1200Z"
    in_madrid = datetime(2026, 11, 20, 13, 0, tzinfo=ZoneInfo("Europe/Madrid"))
    assert run_id(ServiceName("tasks"), "tidy", in_madrid) == "tasks.tidy.20261120T1200Z"
    assert run_id(ServiceName("tasks"), "tidy", NOW) == "tasks.tidy.20261120T120000.250000Z"


def test_the_longest_names_fit_and_stay_apart() -> None:
    one, other = (run_id(ServiceName("s" * 63), "j" * 62 + last, NOW) for last in "ab")
    assert len(one) <= 128
    assert one != other


if __name__ == "__main__":
    print(nights_of_2027())  # noqa: T201
