"""One request as it came, and what may be said against it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 16
LONGEST_HEADER = 1_000


class Refused(Exception):
    """It is not taken, and why."""

    status = 400


class Unauthentic(Refused):
    """Nobody who knows the secret sent this."""

    status = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    headers: Mapping[str, tuple[str, ...]]
    """By lower-case name, each with all its values."""
    body: bytes = field(default=b"", repr=False)
    at: float = 0.0
    """Seconds since 1970."""

    def header(self, name: str) -> str:
        """Its one value, empty where there is none."""
        values = self.headers.get(name, ())
        if len(values) > 1:
            raise Refused(f"the header {name} is there twice")
        value = values[0].strip() if values else ""
        if len(value) > LONGEST_HEADER:
            raise Refused(f"the header {name} is longer than {LONGEST_HEADER} characters")
        return value

    def first_of(self, *names: str) -> str:
        return next((value for name in names if (value := self.header(name))), "")

    @property
    def is_form(self) -> bool:
        return self.header("content-type").partition(";")[0].strip().lower() == FORM

    def json_text(self) -> bytes:
        """The payload as it was before it was put into a form, if it was."""
        if not self.is_form:
            return self.body
        try:
            fields = dict(parse_qsl(self.body.decode(), max_num_fields=MOST_FIELDS, errors="strict"))
        except ValueError as error:
            raise Refused("the form cannot be read") from error
        if "payload" not in fields:
            raise Refused("the form has no field `payload`")
        return fields["payload"].encode()

    def payload(self) -> "Payload":
        """Only for what is known to be genuine: reading costs time and memory."""
        try:
            value = json.loads(self.json_text())
        except RecursionError as error:
            raise Refused("the JSON is nested too deep") from error
        except ValueError as error:
            raise Refused("the body is no JSON") from error
        if not isinstance(value, dict):
            raise Refused("the JSON is no object")
        return Payload(value)


@dataclass(frozen=True, slots=True)
class Payload:
    """Fields that may be there, of types that may be right. Whatever is not as expected is not there."""

    value: object

    def at(self, *path: str) -> "Payload":
        value: Any = self.value
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return Payload(value)

    def text(self, *path: str) -> str:
        value = self.at(*path).value
        return value if isinstance(value, str) else ""

    def is_true(self, *path: str) -> bool:
        return self.at(*path).value is True

    def items(self, *path: str) -> "tuple[Payload, ...]":
        value = self.at(*path).value
        return tuple(Payload(item) for item in value) if isinstance(value, list) else ()

    def texts(self, *paths: tuple[str, ...]) -> frozenset[str]:
        return frozenset(filter(None, (self.text(*path) for path in paths)))
