"""A suite, ready to be played: everything read, compiled and known to be possible.

All formats (YAML, `.http`, `.hurl`) end here, so that there is one player and one kind of report. Refuses to know
how any of them is written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from reconciler.model.position import Position
from reconciler.model.suite.expectation import Expectation
from reconciler.model.suite.subject import Subject
from reconciler.model.suite.template import Reference, Template

Part: TypeAlias = Literal["setup", "cases", "teardown"]

MAX_CASES: Final = 1_000
MAX_CAPTURE: Final = 64 * 1024


Pairs: TypeAlias = tuple[tuple[Template, Template], ...]
"""Names and values, in order; a name may come several times."""


@dataclass(frozen=True, slots=True)
class JsonBody:
    value: Template


@dataclass(frozen=True, slots=True)
class FormBody:
    fields: Pairs


@dataclass(frozen=True, slots=True)
class TextBody:
    text: Template
    media_type: str | None = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class BytesBody:
    content: bytes
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    field: str
    file_name: Template
    content: bytes | Template
    media_type: str


@dataclass(frozen=True, slots=True)
class MultipartBody:
    fields: Pairs
    uploads: tuple[Upload, ...]


Body: TypeAlias = JsonBody | FormBody | TextBody | BytesBody | MultipartBody


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: Template
    headers: tuple[tuple[str, Template], ...] = ()
    query: Pairs = ()
    body: Body | None = None
    follow_redirects: bool = False
    timeout: float | None = None

    @property
    def references(self) -> Iterator[Reference]:
        yield from self.path.references
        for _name, value in self.headers:
            yield from value.references
        for value in _flat(self.query):
            yield from value.references
        for value in _templates_of(self.body):
            yield from value.references


@dataclass(frozen=True, slots=True)
class Capture:
    name: str
    subject: Subject
    place: Position
    regex: str | None = None
    """The first group of this pattern, taken from the subject."""


@dataclass(frozen=True, slots=True)
class Retry:
    attempts: int = 1
    every: float = 0.1


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    request: Request
    expectations: tuple[Expectation, ...]
    place: Position
    captures: tuple[Capture, ...] = ()
    retry: Retry = Retry()
    needs: tuple[str, ...] = ()
    """Names of cases that must have passed; those whose captures it uses are found by themselves."""
    tags: frozenset[str] = frozenset()
    row: Mapping[str, Template] = field(default_factory=dict)
    """Its own variables: one row of `each`, or what an `include` gave."""
    given_name: str = ""
    """What `needs` calls it: its name before a row was added."""

    @property
    def references(self) -> Iterator[Reference]:
        """What has to be there before it is played: neither its own row nor, for what it expects, its own captures."""
        for value in self.row.values():
            yield from value.references
        yield from (reference for reference in self.request.references if reference.name not in self.row)
        own = {*self.row, *(capture.name for capture in self.captures)}
        for judged in (*self.expectations, *(capture.subject for capture in self.captures)):
            yield from (reference for reference in judged.references if reference.name not in own)


@dataclass(frozen=True, slots=True)
class Budget:
    total: float = 10.0
    requests: int = 200
    request: float = 5.0
    """Seconds one request may take."""


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    """The path of its file below the service's folder."""
    file: str
    """The path of its file in the repository."""
    cases: tuple[Case, ...]
    vars: Mapping[str, Template] = field(default_factory=dict)
    setup: tuple[Case, ...] = ()
    teardown: tuple[Case, ...] = ()
    budget: Budget = Budget()

    @property
    def parts(self) -> tuple[tuple[Part, tuple[Case, ...]], ...]:
        return ("setup", self.setup), ("cases", self.cases), ("teardown", self.teardown)

    def __len__(self) -> int:
        return len(self.setup) + len(self.cases) + len(self.teardown)


def _flat(pairs: Pairs) -> Iterator[Template]:
    return (template for pair in pairs for template in pair)


def _templates_of(body: Body | None) -> Iterator[Template]:
    match body:
        case JsonBody(value):
            yield value
        case TextBody(text):
            yield text
        case FormBody(fields):
            yield from _flat(fields)
        case MultipartBody(fields, uploads):
            yield from _flat(fields)
            yield from (upload.file_name for upload in uploads)
            yield from (upload.content for upload in uploads if isinstance(upload.content, Template))
        case _:
            return
