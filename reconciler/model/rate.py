"""How often something may happen: `600/minute`."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

from reconciler.model.diagnosis import refuse

PERIODS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
PATTERN: Final = r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$"


@dataclass(frozen=True, slots=True)
class Limit:
    count: int
    seconds: int

    def __str__(self) -> str:
        period = next(name for name, seconds in PERIODS.items() if seconds == self.seconds)
        return f"{self.count}/{period}"


def read(value: Any) -> Limit:
    if not isinstance(value, str) or not re.fullmatch(PATTERN, value):
        refuse("not-valid", "{name} cannot be {value}", expected="a rate such as `600/minute` or `10/second`")
    count, period = value.split("/")
    return Limit(int(count), PERIODS[period])


Rate = Annotated[
    Limit,
    PlainValidator(read),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["600/minute", "10/second"]}),
]
