"""`tests.yaml`: what a person may write, checked and compiled field by field.

What needs other files or other cases (includes, schemas, variables, `needs`) is the business of
`reconciler.suite.load`; here stands what one file can say, and how its JSON Schema is published.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)

from reconciler.model.diagnosis import refuse
from reconciler.model.strict import List, Strict
from reconciler.model.suggestion import listed
from reconciler.model.suite.fields import (
    CUSTOM_METHOD,
    METHODS,
    PATH_SCHEMA,
    REFERENCE,
    SHARED_SCHEMAS,
    TEMPLATE_NOTE,
    AnyValue,
    HeaderName,
    JsonPath,
    Names,
    Pairs,
    PathBelow,
    Regex,
    Scalar,
    Scalars,
    Seconds,
    Status,
    ValueOrMatcher,
    Variable,
    as_capture,
    as_upload,
    is_custom_method,
    read_path,
)
from reconciler.model.suite.template import Template

FIELDS: Final = {"json": "json_"}


class Lasts(Strict):
    max: Seconds = Field(description="The answer has arrived, body included, within this time.")


class Expect(Strict):
    """What must come back. Everything is checked; all that does not hold is told."""

    SYNONYMS: ClassVar[Mapping[str, str]] = {
        "jsonpath": "write `json`",
        "code": "write `status`",
        "status_code": "write `status`",
        "header": "write `headers`",
        "text": "write `body`",
        "time": "write `duration: {max: 300ms}`",
        "openapi": "write `schema: openapi`",
    }

    status: Status | None = Field(None, description="A number, a class like 2xx, a list of both, or matchers.")
    headers: dict[HeaderName, ValueOrMatcher] = Field({}, description="Header to value or matchers.")
    json_: dict[JsonPath, ValueOrMatcher] = Field(
        {},
        alias="json",
        description="JSONPath (RFC 9535) to value or matchers: `$.id: {type: integer}`, `$.tags[*]: {count: 2}`.",
    )
    schema_: str | None = Field(
        None,
        alias="schema",
        description="The path of a JSON Schema among the service's files; or `openapi`: the service's own document.",
    )
    body: ValueOrMatcher | None = Field(None, description="The body as text: a value or matchers.")
    duration: Lasts | None = Field(None, description="How long the answer may take.")

    @property
    def is_empty(self) -> bool:
        alone = (self.status, self.schema_, self.body, self.duration)
        return not self.headers and not self.json_ and all(one is None for one in alone)


class CaptureFrom(Strict):
    """Where a variable comes from, for later cases; a JSONPath alone is short for `json`."""

    json_: JsonPath | None = Field(None, alias="json", description="The node, or the list of nodes, at this JSONPath.")
    header: HeaderName | None = Field(None, description="The value of this header.")
    cookie: str | None = Field(None, description="The value of this cookie, as just set.")
    body: Literal[True] | None = Field(None, description="The whole body as text.")
    regex: Regex | None = Field(
        None, description="The one group of this pattern, in the header or cookie named beside it, or in the body."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = [one for one in (self.json_, self.header, self.cookie, self.body) if one is not None]
        if len(sources) > 1 or not (sources or self.regex):
            refuse(
                "bad-capture", "a capture comes from one place", expected="one of `json`, `header`, `cookie`, `body`"
            )
        if self.regex is not None and self.json_ is not None:
            refuse("bad-capture", "a pattern looks at a header, a cookie or the body, not at JSON")
        return self


class RetryWritten(Strict):
    """Ask again until all expectations hold."""

    attempts: int = Field(10, ge=1, le=1_000, description="How often at most. Each one counts in the budget.")
    every: Seconds = Field(0.1, description="How long to wait between two attempts.")


class UploadWritten(Strict):
    path: str | None = Field(None, description="A file of the service.")
    content: Scalar | None = Field(None, description="The content itself.")
    name: Scalar | None = Field(None, description="The file name that is sent.")
    type: str = Field("application/octet-stream", description="Its media type.")

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.path is None) == (self.content is None):
            refuse("bad-upload", "a file has either `path` or `content`")
        return self


class CaseWritten(Strict):
    """One request and what must come back; or `include`, which puts another file's cases here."""

    SYNONYMS: ClassVar[Mapping[str, str]] = {
        "request": "write the method as a key: `POST: /tasks`",
        "method": "write the method as a key: `POST: /tasks`",
        "url": "write the method as a key: `GET: /tasks`",
        "path": "write the method as a key: `GET: /tasks`",
        "body": "write `json`, `form`, `text` or `files`; what must come back stands under `expect`",
        "data": "write `json`, `form`, `text` or `files`",
        "params": "write `query`",
        "status": "write it under `expect`",
        "captures": "write `capture`",
        "save": "write `capture`",
        "assert": "write `expect`",
    }

    name: str | None = Field(
        None, min_length=1, max_length=200, description="What it shows, in a sentence. `${…}` of its row is filled in."
    )
    GET: PathBelow | None = None
    HEAD: PathBelow | None = None
    POST: PathBelow | None = None
    PUT: PathBelow | None = None
    PATCH: PathBelow | None = None
    DELETE: PathBelow | None = None
    OPTIONS: PathBelow | None = None
    TRACE: PathBelow | None = None
    QUERY: PathBelow | None = None
    headers: dict[HeaderName, Scalars] = Field({}, description="Request headers; a list sends one several times.")
    query: Pairs = Field((), description="Query parameters; a list sends one several times.")
    json_: AnyValue | None = Field(None, alias="json", description="The body, sent as JSON. " + TEMPLATE_NOTE)
    form: Pairs | None = Field(None, description="Form fields; with `files`, fields beside them.")
    text: Scalar | None = Field(None, description="The body as it is, sent as text/plain unless a header says more.")
    files: (
        dict[str, Annotated[UploadWritten, BeforeValidator(as_upload, json_schema_input_type=UploadWritten | str)]]
        | None
    ) = Field(
        None, description="Uploads (multipart/form-data): field to the path of a file of the service, or its content."
    )
    expect: Expect | None = Field(None, description="What must come back.")
    capture: dict[
        Variable, Annotated[CaptureFrom, BeforeValidator(as_capture, json_schema_input_type=CaptureFrom | str)]
    ] = Field(
        {}, description="Variables for later cases: name to a JSONPath, or {header: name}, {cookie: name}, {regex: …}."
    )
    retry: RetryWritten | None = Field(None, description="Ask again until everything expected holds.")
    needs: Names = Field((), description="Cases that must have passed; otherwise this one is skipped.")
    tags: Names = Field((), description="Words to select cases by.")
    each: List[AnyValue] | None = Field(
        None, description="Rows: the case is played once for each, with the row's members as variables."
    )
    follow_redirects: bool = Field(False, description="Follow redirects inside the service, five at most.")
    timeout: Seconds | None = Field(None, description="For this request, instead of `budget.request`.")
    include: str | None = Field(None, description="Instead of a request: a file whose cases are played here.")
    vars: dict[Variable, AnyValue] = Field({}, description="With `include`: variables its cases see.")
    _custom: tuple[str, Template] | None = PrivateAttr(None)

    @model_validator(mode="wrap")
    @classmethod
    def _any_method(cls, data: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """`PURGE: /cache` cannot be a field of its own; a misspelt usual method is none of these."""
        custom = [key for key in data if is_custom_method(key)] if isinstance(data, dict) else []
        case = read({key: value for key, value in data.items() if key not in custom} if custom else data)
        for method in custom:
            case._custom = (method, read_path(data[method]))
        if len(case.methods) + max(len(custom) - 1, 0) > 1:
            asked = listed([*(method for method, _ in case.methods), *custom[:-1]])
            refuse("no-request", f"a case asks once, and this one has {asked}", remedy="make it two cases")
        return case._only_include() if case.include is not None else case._one_request()

    @property
    def methods(self) -> list[tuple[str, Template]]:
        known = [(method, getattr(self, method)) for method in METHODS if getattr(self, method) is not None]
        return known + ([self._custom] if self._custom else [])

    def _one_request(self) -> Self:
        if self.vars:
            refuse("bad-case", "`vars` belongs to a suite, or beside `include`", remedy="use `each` for a case's own")
        if not self.methods:
            refuse("no-request", "a case asks for nothing", remedy="write the method as a key: `GET: /tasks`")
        if self.name is None:
            refuse("missing-field", "a case has no name", remedy="add `name:`, a sentence that says what it shows")
        if self.expect is None or self.expect.is_empty:
            refuse("expects-nothing", "a case expects nothing", remedy="add `expect: {status: 200}`, or more")
        return self._one_body()

    def _one_body(self) -> Self:
        given = [
            name for name in ("json", "text", "form", "files") if getattr(self, FIELDS.get(name, name)) is not None
        ]
        if len(given) > 1 and given != ["form", "files"]:
            refuse("bad-body", f"a request has one body, and this one has {listed(given)}")
        if self.each is not None and not self.each:
            refuse("bad-each", "`each` has no rows, so the case would never be played")
        return self

    def _only_include(self) -> Self:
        if more := sorted(self.model_fields_set - {"include", "vars", "name"}):
            refuse("bad-include", f"`include` stands alone; it cannot have {listed(more)}", remedy="remove them")
        return self


class BudgetWritten(Strict):
    """What a suite may cost before it is stopped; stopping is `inconclusive`."""

    total: Seconds = Field(10.0, description="For the whole suite, waiting included; teardown has a little more.")
    requests: int = Field(200, ge=1, le=10_000, description="Retries and redirects count.")
    request: Seconds = Field(5.0, description="For one request, from sending to the end of its body.")


Cases = List[CaseWritten]


class SuiteWritten(Strict):
    """HTTP requests to one service and what must come back, played against a release before its first request."""

    SYNONYMS: ClassVar[Mapping[str, str]] = {
        "tests": "write `cases`",
        "variables": "write `vars`",
        "before": "write `setup`",
        "after": "write `teardown`",
    }

    version: Literal[1] = Field(description="The version of this format.")
    vars: dict[Variable, AnyValue] = Field({}, description="Variables; one may use those above it.")
    include: Names = Field((), description="Files whose variables, setup, cases and teardown come before these.")
    setup: Cases = Field((), description="Played first; when one fails, the suite is `inconclusive`.")
    cases: Cases = Field((), description="Played one after another, each with the captures of those before it.")
    teardown: Cases = Field((), description="Always played, with the captures that were made.")
    budget: BudgetWritten = Field(
        BudgetWritten.model_construct(total=10.0, requests=200, request=5.0),
        description="What the suite may cost before it is stopped.",
    )


def with_shared(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema made from `SuiteWritten`, with what pydantic cannot say put in its place."""
    whole: dict[str, Any] = _linked(schema)
    whole["$defs"]["CaseWritten"]["patternProperties"] = {f"^{CUSTOM_METHOD.pattern}$": PATH_SCHEMA}
    whole["$defs"] |= {name: _linked(shared) for name, shared in SHARED_SCHEMAS.items()}
    return whole


def _linked(schema: Any) -> Any:
    if isinstance(schema, dict):
        linked = {key: _linked(value) for key, value in schema.items() if key != REFERENCE}
        return {"$ref": f"#/$defs/{schema[REFERENCE]}", **linked} if REFERENCE in schema else linked
    return [_linked(item) for item in schema] if isinstance(schema, list) else schema
