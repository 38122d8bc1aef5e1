"""The rule for local time, said a second time and without cronsim: minute by minute, slowly, from the definition."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
RANGES = {"minute": range(60), "hour": range(24), "day": range(1, 32), "month": range(1, 13), "weekday": range(7)}
Fields = dict[str, set[int]]


def fields_of(schedule: str) -> Fields:
    return {name: _values(text, RANGES[name]) for name, text in zip(RANGES, schedule.split(), strict=True)}


def _values(text: str, whole: range) -> set[int]:
    base, _, step = text.partition("/")
    if base == "*":
        return set(whole[:: int(step or 1)])
    return {int(value) for value in base.split(",")}


def expected(schedule: str, timezone: str, after: datetime, until: datetime) -> list[datetime]:
    """Every time in a span: at fixed hours once a day, else whenever the clock on the wall shows it."""
    zone, fields = ZoneInfo(timezone), fields_of(schedule)
    minute, hour = schedule.split()[:2]
    at_fixed_hours = timezone != "UTC" and not minute.startswith("*") and not hour.startswith("*")
    found = _fixed(fields, zone, after, until) if at_fixed_hours else _shown(fields, zone, after, until)
    return sorted({at for at in found if after < at <= until})


def _shown(fields: Fields, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
    at = after.replace(second=0, microsecond=0)
    while at <= until:
        local = at.astimezone(zone)
        if local.minute in fields["minute"] and local.hour in fields["hour"] and _is_day(fields, local.date()):
            yield at
        at += MINUTE


def _fixed(fields: Fields, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
    day = after.astimezone(zone).date() - timedelta(days=1)
    while day <= until.astimezone(zone).date():
        if _is_day(fields, day):
            for hour in fields["hour"]:
                for minute in fields["minute"]:
                    yield _first_instant(datetime(day.year, day.month, day.day, hour, minute), zone)
        day += timedelta(days=1)


def _first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When a clock on the wall first shows this; or, where it never does, the first thing that it shows afterwards."""
    while True:
        at = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if at.astimezone(zone).replace(tzinfo=None) == wall:
            return at
        wall += MINUTE


def _is_day(fields: Fields, day: date) -> bool:
    is_weekday = day.isoweekday() % 7 in fields["weekday"]
    return day.month in fields["month"] and day.day in fields["day"] and is_weekday
