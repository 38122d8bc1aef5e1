"""Lengths of time as people write them: `300ms`, `30s`, `1h30m`.

A bare number is refused: nobody can tell seconds from milliseconds by looking at `30`.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from reconciler.model.diagnosis import refuse

PATTERN: Final = (
    r"^(?=[0-9])([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m(?!s))?([0-9]{1,6}(\.[0-9]{1,3})?s)?([0-9]{1,9}ms)?$"
)
_UNITS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_WRITTEN: Final = re.compile(PATTERN)
_PART: Final = re.compile(r"([0-9.]+)(ms|[dhms])")
_EXPECTED: Final = "a duration such as `30s`, `5m`, `1h30m` or `300ms`"


def seconds(text: str) -> float | None:
    """None where the text is no duration."""
    if not _WRITTEN.fullmatch(text):
        return None
    return round(sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(text)), 3)


def written(duration: float) -> str:
    """The shortest way to write it."""
    rest = round(duration * 1000)
    parts = []
    for unit, size in _UNITS.items():
        amount, rest = divmod(rest, round(size * 1000))
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"


@dataclass(frozen=True, slots=True)
class Duration:
    """The type of a field that holds seconds and is written as a duration, with its bounds."""

    at_least: str = "0s"
    at_most: str = "30d"

    def read(self, value: Any) -> float:
        length = seconds(value) if isinstance(value, str) else None
        if length is None:
            refuse("wrong-type", "{name} must be a duration, not {value}", expected=_EXPECTED, remedy=_unit_for(value))
        if not (seconds(self.at_least) or 0.0) <= length <= (seconds(self.at_most) or 0.0):
            bounds = f"from {self.at_least} to {self.at_most}"
            refuse("out-of-range", f"{{name}} must be {bounds}, not {{value}}", expected=bounds)
        return length

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": PATTERN, "examples": ["30s", "5m", "1h30m", "300ms"]}


def _unit_for(value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)) and value >= 0:
        return f"write `{value}s` if you mean seconds"
    if isinstance(value, str) and (joined := re.sub(r"\s", "", value.lower())) != value and seconds(joined) is not None:
        return f"write `{joined}`"
    return None
