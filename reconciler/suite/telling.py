"""What a report tells of one exchange: redacted first, then cut, so that no half of a secret survives a cut."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from reconciler.model.position import visible
from reconciler.model.suite.answer import Answer
from reconciler.model.suite.expectation import Mismatch
from reconciler.model.utf8 import decoded
from reconciler.model.verdict import Response
from reconciler.suite.call import Call, curl


class Redact(Protocol):
    def __call__(self, text: str, *, goes_on: bool = False) -> str:
        """Of a text that goes on, what may be the beginning of a secret at its end is left out."""


LONGEST_BODY: Final = 2_000
LONGEST_LINE: Final = 1_000
LONGEST_CURL: Final = 2_000
LONGEST_HURL: Final = 4_000
MOST_HEADERS: Final = 30
MOST_LINES: Final = 40
MOST_MISMATCHES: Final = 25


def identity(text: str, *, goes_on: bool = False) -> str:
    return text


def line(text: str, redact: Redact, limit: int = LONGEST_LINE) -> str:
    """One line, without anything that could move a cursor."""
    return cut(visible(redact(text)), limit)


def paragraph(text: str, redact: Redact, limit: int, *, goes_on: bool = False) -> str:
    return "\n".join(visible(one) for one in cut(redact(text, goes_on=goes_on), limit).split("\n"))


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "…"


def mismatch(found: Mismatch, redact: Redact) -> Mismatch:
    return replace(
        found, what=line(found.what, redact), expected=line(found.expected, redact), got=line(found.got, redact)
    )


def curl_line(call: Call, base: str, redact: Redact) -> str:
    return cut(redact(curl(call, base, redact)), LONGEST_CURL)


def response(answer: Answer, redact: Redact) -> Response:
    headers = tuple((name, line(value, redact, 300)) for name, value in list(answer.headers)[:MOST_HEADERS])
    return Response(answer.status, headers, _body(answer, redact), answer.size)


def logs(lines: Sequence[str], redact: Redact) -> tuple[str, ...]:
    kept = list(lines)[-MOST_LINES:]
    return tuple(line(one.rstrip("\n"), redact, 500) for one in kept)


def _body(answer: Answer, redact: Redact) -> str:
    if b"\0" in answer.body[:LONGEST_BODY]:
        return f"({answer.size:,} bytes that are not text)"
    goes_on = answer.size > len(answer.body)
    return paragraph(decoded(answer.body, goes_on=goes_on), redact, LONGEST_BODY, goes_on=goes_on)
