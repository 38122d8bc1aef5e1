"""One request with everything filled in: what is sent, and the `curl` line that sends it again.

Refuses every path that does not lie below the service, also when a capture brought it along.
"""

import json
import shlex
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from reconciler.model.suite.case import (
    Body,
    BytesBody,
    FormBody,
    JsonBody,
    MultipartBody,
    Request,
    TextBody,
)  # fmt: skip
from reconciler.model.suite.fields import path_problem
from reconciler.model.suite.template import Scope, Template

LARGEST_BODY: Final = 4 << 20
REQUEST_ID: Final = "X-Request-Id"
OUR_ID: Final = "suite-"
"""How the request ids begin that the player makes up."""


class Impossible(Exception):
    """The request cannot be made from what the variables hold; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Attachment:
    field: str
    file_name: str
    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    target: str
    """Path and query as they go on the wire, prefix included."""
    headers: tuple[tuple[str, str], ...]
    content: bytes | None = None
    fields: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()

    @property
    def request_id(self) -> str:
        return next(value for name, value in self.headers if name.lower() == REQUEST_ID.lower())

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def redirected(self, status: int, target: str) -> "Call":
        """What a client asks next, in the manner of browsers."""
        moved = replace(self, target=target)
        if status in (307, 308) or self.method in ("GET", "HEAD"):
            return moved
        headers = tuple(pair for pair in self.headers if not pair[0].lower().startswith("content-"))
        return replace(moved, method="GET", headers=headers, content=None, fields=(), attachments=())


def fill_in(request: Request, scope: Scope, prefix: str, request_id: str) -> Call:
    headers = [(name, _header(name, value.text(scope))) for name, value in request.headers]
    if not _names(headers, REQUEST_ID):
        headers.append((REQUEST_ID, request_id))
    media_type, content = _content(request.body, scope)
    if media_type is not None and not _names(headers, "content-type"):
        headers.append(("Content-Type", media_type))
    if content is not None and len(content) > LARGEST_BODY:
        raise Impossible(f"the body is larger than {LARGEST_BODY >> 20} MiB")
    call = Call(request.method, prefix + _target(request, scope), tuple(headers), content)
    return _with_parts(call, request.body, scope) if isinstance(request.body, MultipartBody) else call


def curl(call: Call, base: str, redact: Callable[[str], str]) -> str:
    """A line for a shell that sends the same again, but for what may not be told."""
    words = ["curl", "-i"]
    if call.method == "HEAD":
        words = ["curl", "-I"]
    elif call.method != "GET":
        words += ["-X", call.method]
    words.append(base.rstrip("/") + call.target)
    for name, value in call.headers:
        if not value.startswith(OUR_ID):
            words += ["-H", f"{name}: {value}"]
    words += _curl_body(call)
    # A secret in a quoted body that is quoted again would not be recognised.
    return shlex.join(map(redact, words))


def _curl_body(call: Call) -> Iterator[str]:
    for name, value in call.fields:
        yield from ("--form-string", f"{name}={value}")
    for part in call.attachments:
        yield from ("-F", f"{part.field}=@{part.file_name};type={part.media_type}")
    if call.content is None:
        return
    text = call.content.decode("utf-8", "replace")
    yield from ("--data-raw", text) if "\0" not in text else ("--data-binary", "@body")


def _target(request: Request, scope: Scope) -> str:
    path = request.path.text(scope)
    if problem := path_problem(path) or (None if path.startswith("/") else f"`{path}` must begin with a slash"):
        raise Impossible(problem)
    path = path.partition("#")[0]
    if not request.query:
        return path
    query = urllib.parse.urlencode([(name.text(scope), value.text(scope)) for name, value in request.query])
    return f"{path}{'&' if '?' in path else '?'}{query}"


def _header(name: str, value: str) -> str:
    if any(character < " " and character != "\t" for character in value) or "\x7f" in value:
        raise Impossible(f"the header {name} would hold a line break or a control character")
    return value


def _names(headers: list[tuple[str, str]], name: str) -> bool:
    return any(key.lower() == name.lower() for key, _value in headers)


def _content(body: Body | None, scope: Scope) -> tuple[str | None, bytes | None]:
    match body:
        case JsonBody(value):
            text = json.dumps(value.render(scope), ensure_ascii=False, separators=(",", ":"))
            return "application/json", text.encode()
        case TextBody(text, media_type):
            return media_type, text.text(scope).encode()
        case FormBody(fields):
            form = urllib.parse.urlencode([(name.text(scope), value.text(scope)) for name, value in fields])
            return "application/x-www-form-urlencoded", form.encode()
        case BytesBody(content, media_type):
            return media_type, content
        case _:
            return None, None


def _with_parts(call: Call, body: MultipartBody, scope: Scope) -> Call:
    attachments = tuple(
        Attachment(
            upload.field,
            upload.file_name.text(scope),
            upload.content.text(scope).encode() if isinstance(upload.content, Template) else upload.content,
            upload.media_type,
        )
        for upload in body.uploads
    )
    fields = tuple((name.text(scope), value.text(scope)) for name, value in body.fields)
    return replace(call, fields=fields, attachments=attachments)
