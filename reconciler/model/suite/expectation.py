"""One thing a case says about its answer, and what is told when it does not hold.

Judging is pure and never stops at the first mismatch: a person wants to see all of them at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from reconciler.model.position import Position
from reconciler.model.suite.answer import Answer, Unreadable
from reconciler.model.suite.jsonpath import PathError
from reconciler.model.suite.matcher import Matcher, Nodes, as_text_of
from reconciler.model.suite.schema import Fault, Schema
from reconciler.model.suite.subject import Subject
from reconciler.model.suite.template import Reference, Scope, Template, Undefined


@dataclass(frozen=True, slots=True)
class Mismatch:
    what: str
    """`status`, `header content-type`, `json $.title`."""
    expected: str
    got: str
    path: str | None = None
    """The JSONPath of the value that is wrong, where it is inside a JSON body."""
    file: str | None = None
    line: int | None = None

    @property
    def sentence(self) -> str:
        return f"{self.what}: expected {self.expected}, got {self.got}"


class Contract(Protocol):
    """What the service says of itself in its OpenAPI document."""

    def faults(self, method: str, path: str, answer: Answer) -> Sequence[tuple[str, Fault]]:
        """What does not fit: the promise that is broken, and where."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an expectation needs to know besides the answer."""

    scope: Scope
    method: str
    path: str
    contract: Contract | None = None


@dataclass(frozen=True, slots=True)
class StatusIs:
    """A number, `2xx`, or any of several."""

    allowed: tuple[Template, ...]
    place: Position

    @property
    def references(self) -> Iterator[Reference]:
        for template in self.allowed:
            yield from template.references

    def judge(self, answer: Answer, around: Circumstances) -> Iterator[Mismatch]:
        allowed = [one.text(around.scope) for one in self.allowed]
        if not any(_is_status(answer.status, one) for one in allowed):
            yield _mismatch(self.place, "status", " or ".join(allowed), str(answer.status))


@dataclass(frozen=True, slots=True)
class ValueIs:
    subject: Subject
    matcher: Matcher
    place: Position

    @property
    def references(self) -> Iterator[Reference]:
        yield from self.subject.references
        yield from self.matcher.references

    def judge(self, answer: Answer, around: Circumstances) -> Iterator[Mismatch]:
        scope = around.scope
        path = self.subject.path(scope)
        try:
            got = self.subject.look(answer, scope)
        except (Unreadable, PathError) as error:
            yield _mismatch(self.place, self.subject.label(scope), self.matcher.text(scope), str(error), path)
            return
        for check in self.matcher.failing(got, scope):
            yield _mismatch(self.place, self.subject.label(scope), check.text(scope), shown(got), path)


@dataclass(frozen=True, slots=True)
class LastsAtMost:
    milliseconds: float
    place: Position
    references: tuple[Reference, ...] = ()

    def judge(self, answer: Answer, _around: Circumstances) -> Iterator[Mismatch]:
        took = answer.seconds * 1000
        if took > self.milliseconds:
            yield _mismatch(self.place, "duration", f"at most {self.milliseconds:g} ms", f"{took:.0f} ms")


@dataclass(frozen=True, slots=True)
class FitsSchema:
    schema: Schema
    place: Position
    references: tuple[Reference, ...] = ()

    def judge(self, answer: Answer, _around: Circumstances) -> Iterator[Mismatch]:
        expected = f"a body that fits {self.schema.name}"
        try:
            document = answer.json
        except Unreadable as error:
            yield _mismatch(self.place, "schema", expected, str(error))
            return
        for fault in self.schema.faults(document):
            yield _mismatch(self.place, "schema", expected, f"{fault.message} at {fault.path}", fault.path)


@dataclass(frozen=True, slots=True)
class FitsOpenApi:
    place: Position
    references: tuple[Reference, ...] = ()

    def judge(self, answer: Answer, around: Circumstances) -> Iterator[Mismatch]:
        if around.contract is None:
            yield _mismatch(self.place, "schema", "an OpenAPI document", "none")
            return
        for promise, fault in around.contract.faults(around.method, around.path, answer):
            yield _mismatch(self.place, "schema openapi", promise, fault.message, fault.path)


Expectation: TypeAlias = StatusIs | ValueIs | LastsAtMost | FitsSchema | FitsOpenApi


def judge(expectation: Expectation, answer: Answer, around: Circumstances) -> list[Mismatch]:
    try:
        return list(expectation.judge(answer, around))
    except Undefined as undefined:
        return [_mismatch(expectation.place, "expectation", "a value to compare with", str(undefined))]


def shown(value: object) -> str:
    """In full, and that is at most what is kept of a body: a report cuts it, when secrets are taken out."""
    return as_text_of(list(value) if isinstance(value, Nodes) else value)


def _is_status(status: int, allowed: str) -> bool:
    return allowed == str(status) or (allowed.lower().endswith("xx") and allowed[:1] == str(status)[:1])


def _mismatch(place: Position, what: str, expected: str, got: str, path: str | None = None) -> Mismatch:
    return Mismatch(what, expected, got, path, place.file or None, place.line)
