"""Amounts of memory and of data as people write them: `512MiB`, `10MB`.

A bare number is refused, and so is `512m`, which means two things in two programs.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from reconciler.model.diagnosis import refuse

PATTERN: Final = r"^[0-9]{1,12}(\.[0-9]{1,3})?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$"
_UNITS: Final = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_WRITTEN: Final = re.compile(PATTERN)
_LOOSE: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)\s*([kmgt]?)(i?)(b?)", re.IGNORECASE)
_EXPECTED: Final = "a size such as `512MiB` or `10MB`"


def octets(text: str) -> int | None:
    """None where the text is no size."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return None
    unit = match.group(2)
    return round(float(text[: -len(unit)]) * _UNITS[unit])


def written(size: int) -> str:
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return f"{size}B"


@dataclass(frozen=True, slots=True)
class Size:
    """The type of a field that holds bytes and is written as a size, with its bounds."""

    at_least: str = "0B"
    at_most: str = "1TiB"

    def read(self, value: Any) -> int:
        size = octets(value) if isinstance(value, str) else None
        if size is None:
            refuse("wrong-type", "{name} must be a size, not {value}", expected=_EXPECTED, remedy=_unit_for(value))
        if not (octets(self.at_least) or 0) <= size <= (octets(self.at_most) or 0):
            bounds = f"from {self.at_least} to {self.at_most}"
            refuse("out-of-range", f"{{name}} must be {bounds}, not {{value}}", expected=bounds)
        return size

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": PATTERN, "examples": ["512MiB", "10MB"]}


def _unit_for(value: Any) -> str | None:
    if isinstance(value, str) and (match := _LOOSE.fullmatch(value)) and match.group(2):
        return f"write `{match.group(1)}{match.group(2).upper()}iB`"
    return "add the unit: `MiB` or `MB`, for example" if isinstance(value, int) else None
