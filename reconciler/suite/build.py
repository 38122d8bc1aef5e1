"""One case as it was written becomes one case, or one for each row of `each`, that can be played."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.model.position import Origin, Path, Position
from reconciler.model.suite.case import (
    Body,
    Capture,
    Case,
    FormBody,
    JsonBody,
    MultipartBody,
    Request,
    Retry,
    TextBody,
    Upload,
)  # fmt: skip
from reconciler.model.suite.expectation import (
    Expectation,
    FitsOpenApi,
    FitsSchema,
    LastsAtMost,
    StatusIs,
    ValueIs,
)  # fmt: skip
from reconciler.model.suite.format import CaptureFrom, CaseWritten, Expect, UploadWritten
from reconciler.model.suite.matcher import Matcher
from reconciler.model.suite.subject import Subject
from reconciler.model.suite.template import Template, Undefined, as_text, literal, template
from reconciler.suite.reading import Reading

LABEL = 60
"""Characters of a row that a case's name takes on."""


def build(written: CaseWritten, origin: Origin, at: Path, reading: Reading) -> Iterator[Case]:
    case = Case(
        name=written.name or "",
        given_name=written.name or "",
        request=_request(written, origin, at, reading),
        expectations=tuple(_expectations(written.expect, origin, (*at, "expect"), reading)) if written.expect else (),
        place=origin.position(at),
        captures=tuple(_captures(written.capture, origin, (*at, "capture"))),
        retry=Retry(written.retry.attempts, written.retry.every) if written.retry else Retry(),
        needs=written.needs,
        tags=frozenset(written.tags),
    )
    if written.each is None:
        yield case
    else:
        yield from (
            in_row(case, _row(row), number, origin.position((*at, "each", number - 1)))
            for number, row in enumerate(written.each, start=1)
        )


def in_row(case: Case, row: Mapping[str, Template], number: int, place: Position) -> Case:
    """The case with a row's variables; its name says which row."""
    return replace(case, name=_name(case.name, row, number), row={**row, **case.row}, place=place)


def _row(row: Template) -> dict[str, Template]:
    """The members of a row are variables; a row that is no mapping is `${each}`."""
    if isinstance(row.value, Mapping):
        return {str(name): template(_as_written(row, value)) for name, value in row.value.items()}
    return {"each": row}


def _as_written(row: Template, value: object) -> object:
    """A constant has lost its escapes when it was read; they are put back to be read again."""
    return value if not row.constant else _escaped(value)


def _escaped(value: object) -> object:
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, Mapping):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _name(name: str, row: Mapping[str, Template], number: int) -> str:
    constants = {key: value.value for key, value in row.items() if value.constant}
    if "${" in name:
        try:
            return template(name).text(constants)
        except (Undefined, ValueError):
            return f"{name} [{number}]"
    if len(constants) < len(row) or not row:
        return f"{name} [{number}]"
    pairs = (as_text(value) if key == "each" else f"{key}={as_text(value)}" for key, value in constants.items())
    label = ", ".join(pairs)
    return f"{name} [{label}]" if len(label) <= LABEL else f"{name} [{number}]"


def _request(written: CaseWritten, origin: Origin, at: Path, reading: Reading) -> Request:
    method, path = written.methods[0]
    return Request(
        method=method,
        path=path,
        headers=tuple((name, value) for name, values in written.headers.items() for value in values),
        query=written.query,
        body=_body(written, origin, at, reading),
        follow_redirects=written.follow_redirects,
        timeout=written.timeout,
    )


def _body(written: CaseWritten, origin: Origin, at: Path, reading: Reading) -> Body | None:
    if written.json_ is not None:
        return JsonBody(written.json_)
    if written.text is not None:
        return TextBody(written.text)
    if written.files is not None:
        uploads = (
            _upload(field, upload, origin.position((*at, "files", field)), reading)
            for field, upload in written.files.items()
        )
        return MultipartBody(written.form or (), tuple(uploads))
    return FormBody(written.form) if written.form is not None else None


def _upload(field: str, written: UploadWritten, place: Position, reading: Reading) -> Upload:
    content: bytes | Template = written.content if written.content is not None else b""
    if written.path is not None:
        content = reading.content(written.path, place) or b""
    name = written.name or template(literal((written.path or field).rpartition("/")[2]))
    return Upload(field, name, content, written.type)


def _expectations(expect: Expect, origin: Origin, at: Path, reading: Reading) -> Iterator[Expectation]:
    if isinstance(expect.status, Matcher):
        yield ValueIs(Subject("status"), expect.status, origin.key((*at, "status")))
    elif expect.status is not None:
        yield StatusIs(expect.status, origin.key((*at, "status")))
    for name, matcher in expect.headers.items():
        yield ValueIs(Subject("header", template(name)), matcher, origin.key((*at, "headers", name)))
    for path, matcher in expect.json_.items():
        yield ValueIs(Subject("json", template(path)), matcher, origin.key((*at, "json", path)))
    if expect.schema_ is not None:
        yield from _fits(expect.schema_, origin.position((*at, "schema")), reading)
    if expect.body is not None:
        yield ValueIs(Subject("body"), expect.body, origin.key((*at, "body")))
    if expect.duration is not None:
        yield LastsAtMost(expect.duration.max * 1000, origin.key((*at, "duration")))


def _fits(reference: str, place: Position, reading: Reading) -> Iterator[Expectation]:
    if reference == "openapi":
        yield FitsOpenApi(place)
    elif schema := reading.schema(reference, place):
        yield FitsSchema(schema, place)


def _captures(written: Mapping[str, CaptureFrom], origin: Origin, at: Path) -> Iterator[Capture]:
    for name, source in written.items():
        yield Capture(name, _captured(source), origin.key((*at, name)), source.regex)


def _captured(source: CaptureFrom) -> Subject:
    if source.json_ is not None:
        return Subject("json", template(source.json_), listed=True)
    if source.header is not None:
        return Subject("header", template(source.header))
    return Subject("cookie", template(source.cookie)) if source.cookie is not None else Subject("body")
