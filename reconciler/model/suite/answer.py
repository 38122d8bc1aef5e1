"""What a service answered to one request, as expectations and captures look at it.

Only what arrived: the bytes are kept up to a limit, decoded once, and never trusted to be what their headers say.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from reconciler.model.suite.matcher import MISSING, Missing, Text

KEPT: Final = 1 << 20
"""Bytes of a body that expectations can see."""


class Unreadable(ValueError):
    """The body cannot be looked at in the way somebody wants to; says why."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes = b""
    size: int = 0
    """Bytes that came, of which `body` may be the beginning only."""
    seconds: float = 0.0
    url: str = ""

    def header(self, name: str) -> Text | Missing:
        """All lines of that name, joined as HTTP allows."""
        lines = self.header_lines(name)
        return Text(", ".join(lines)) if lines else MISSING

    def header_lines(self, name: str) -> list[str]:
        wanted = name.lower()
        return [value for key, value in self.headers if key.lower() == wanted]

    def cookie(self, name: str) -> Text | Missing:
        for line in reversed(self.header_lines("set-cookie")):
            key, equals, value = line.split(";", 1)[0].partition("=")
            if equals and key.strip() == name:
                return Text(value.strip().strip('"'))
        return MISSING

    @property
    def media_type(self) -> str:
        return self._content_type.partition(";")[0].strip().lower()

    @property
    def _content_type(self) -> str:
        declared = self.header("content-type")
        return declared if isinstance(declared, str) else ""

    @cached_property
    def text(self) -> str:
        self._whole()
        charset = self._content_type.lower().partition("charset=")[2].split(";")[0].strip(" \"'")
        try:
            return self.body.decode(charset or "utf-8", "replace")
        except (LookupError, ValueError):
            return self.body.decode("utf-8", "replace")

    @cached_property
    def json(self) -> object:
        self._whole()
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            what = self.media_type or "a body without a type"
            raise Unreadable(f"{what} that is not JSON ({type(error).__name__})" if self.body else "no body") from None

    def _whole(self) -> None:
        if self.size > len(self.body):
            raise Unreadable(f"a body of more than {KEPT >> 20} MiB, which is all that is looked at")
