"""Jobs that run at their time: what a manifest says about them, and whether it can ever be true.

Schedules are read by cronsim, which follows Debian's cron. Six fields are refused, since programs disagree on
which end the seconds stand, and so is a schedule that never fires.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from reconciler.model.diagnosis import refuse
from reconciler.model.duration import Duration
from reconciler.model.strict import Strict
from reconciler.model.suggestion import did_you_mean, one_of

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
JOB_NAME: Final = r"^[a-z][a-z0-9_-]{0,62}$"
NAME_EXPECTED: Final = "lower-case letters, digits, `_` and `-`, beginning with a letter"
FUNCTION: Final = (
    r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
)
MAX_CATCH_UP: Final = 1_000

LONGEST_SCHEDULE: Final = 200

_SOME_MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
_FIELDS: Final = (
    "minute, hour, day of the month, month and day of the week, such as `0 2 * * *`, or a name such as `@hourly`"
)
_REQUEST: Final = rf"^({'|'.join(METHODS)}) /[^\s#]*$"
_CATCH_UP: Final = r"^(none|latest|all\(([1-9][0-9]{0,3})\))$"


def expression(schedule: str) -> str:
    """The five fields behind a schedule; names such as `@daily` spelt out."""
    return ALIASES.get(schedule, schedule)


def check_schedule(schedule: str) -> str:
    if schedule.startswith("@") and schedule not in ALIASES:
        refuse(
            "bad-schedule",
            "{value} is not a name for a schedule",
            expected=one_of(list(ALIASES)),
            remedy=did_you_mean(schedule, ALIASES),
        )
    fields = expression(schedule).split()
    if len(fields) != 5 or len(schedule) > LONGEST_SCHEDULE:
        refuse("bad-schedule", f"{{value}} has {len(fields)} fields; a schedule has five", expected=_FIELDS)
    if wrong := _unreadable(" ".join(fields)):
        if wrong != "day of the month" or _unreadable(f"0 0 {fields[2]} * *"):
            refuse("bad-schedule", f"the {wrong} in {{value}} cannot be read", expected=_FIELDS)
        refuse(
            "never-fires",
            "{value} never fires: none of its months has that day",
            remedy="write `L` for the last day of the month",
        )
    if next(CronSim(" ".join(fields), _SOME_MONDAY), None) is None:
        refuse("never-fires", "{value} never fires: no day fits all of its fields", remedy="loosen one of its fields")
    return schedule


def check_job_name(name: str) -> str:
    if not re.fullmatch(JOB_NAME, name):
        refuse("bad-name", "{value} cannot name a job", expected=NAME_EXPECTED)
    return name


def check_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        known = _known_timezones()
        refuse(
            "unknown-value",
            "{value} is not a time zone" if known else "this machine has no time zone database",
            expected="a name of the IANA database, such as `Europe/Madrid` or `UTC`",
            remedy=did_you_mean(name, known),
        )
    return name


class CronJob(Strict):
    """One job: a schedule, and the request or the function that runs at its times."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["request"]}, {"required": ["call"]}]})
    SYNONYMS: ClassVar[Mapping[str, str]] = {
        "cron": "write `schedule`",
        "every": "write a `schedule`, such as `*/5 * * * *`",
        "at": "write a `schedule`, such as `0 2 * * *`",
        "tz": "write `timezone`",
        "url": "write `request: POST /path`",
        "function": "write `call: module:function`",
        "command": "write `call: module:function`",
    }

    name: Annotated[
        str,
        AfterValidator(check_job_name),
        WithJsonSchema({"type": "string", "pattern": JOB_NAME, "examples": ["nightly"]}),
    ]
    """The job's name, unique in its service."""
    schedule: Annotated[
        str,
        AfterValidator(check_schedule),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": rf"^({'|'.join(ALIASES)}|\s*(\S+\s+){{4}}\S+\s*)$",
                "examples": ["0 2 * * *", "*/15 9-17 * * MON-FRI", "@hourly"],
            }
        ),
    ]
    """Five cron fields, or a name such as `@daily`."""
    timezone: Annotated[str, AfterValidator(check_timezone), Field(max_length=64, examples=["Europe/Madrid"])] = "UTC"
    """The time zone the schedule is meant in."""
    request: (
        Annotated[
            str, Field(max_length=2_000, examples=["POST /jobs/nightly"], json_schema_extra={"pattern": _REQUEST})
        ]
        | None
    ) = None
    """The HTTP request to make: method and path below the service."""
    call: (
        Annotated[str, Field(max_length=200, examples=["jobs:prune"], json_schema_extra={"pattern": FUNCTION})] | None
    ) = None
    """The function to call, `module:function`."""
    arguments: dict[str, Any] = Field(default_factory=dict, max_length=50)
    """Keyword arguments for the function."""
    timeout: Annotated[float, Duration("1s", "24h")] = 300.0
    """How long one run may take."""
    overlap: Literal["skip", "queue"] = "skip"
    """What happens when the previous run is still going."""
    catch_up: Annotated[
        str, Field(examples=["latest", "none", "all(10)"], json_schema_extra={"pattern": _CATCH_UP})
    ] = "latest"
    """Which runs missed while the platform was down are made good: none, the latest, or all up to a number."""
    jitter: Annotated[float, Duration("0s", "1h")] = 0.0
    """Spread the start by up to this long, always the same for one job."""

    @field_validator("request")
    @classmethod
    def _request(cls, request: str | None) -> str | None:
        if request is not None and not re.fullmatch(_REQUEST, request):
            refuse(
                "not-valid", "{value} is not a request", expected="a method and a path, such as `POST /jobs/nightly`"
            )
        return request

    @field_validator("call")
    @classmethod
    def _function(cls, call: str | None) -> str | None:
        if call is not None and not re.fullmatch(FUNCTION, call):
            refuse("not-valid", "{value} does not name a function", expected="`module:function`, such as `jobs:prune`")
        return call

    @field_validator("catch_up")
    @classmethod
    def _bounded_catch_up(cls, catch_up: str) -> str:
        match = re.fullmatch(_CATCH_UP, catch_up)
        if match is None or int(match[2] or 0) > MAX_CATCH_UP:
            refuse(
                "unknown-value",
                "{name} cannot be {value}",
                expected=f"`none`, `latest` or `all(n)` with n up to {MAX_CATCH_UP:,}",
                remedy="write `all(100)`" if catch_up == "all" else None,
            )
        return catch_up

    @model_validator(mode="after")
    def _one_thing_to_do(self) -> "CronJob":
        if (self.request is None) == (self.call is None):
            refuse(
                "not-valid",
                "{name} must have either `request` or `call`" + ("" if self.call is None else ", not both"),
                expected="`request: POST /path` or `call: module:function`",
            )
        if self.arguments and self.call is None:
            refuse("not-valid", "`arguments` are for `call`; a request carries none", remedy="remove `arguments`")
        return self


def _unreadable(schedule: str) -> str | None:
    """Which field cronsim complains about. It calls a day that no month has a bad one, too."""
    try:
        CronSim(schedule, _SOME_MONDAY)
    except CronSimError as error:
        return str(error).removeprefix("Bad ").replace("day-of-month", "day of the month").replace("-", " ")
    return None


@cache
def _known_timezones() -> frozenset[str]:
    return frozenset(available_timezones())
