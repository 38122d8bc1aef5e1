"""A `.http` file cut into requests: what stands between `###` lines, with the line each part stands on.

Only the shape is read here. Scripts are found and named, never run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from reconciler.suite.formats.wrong import Wrong

REQUEST: Final = re.compile(r"(?:([A-Z][A-Z-]*)\s+)?(\S+?)(?:\s+HTTP/[0-9.]+)?\s*")
VARIABLE: Final = re.compile(r"@([A-Za-z_][\w-]*)\s*:?=\s*(.*)")
META: Final = re.compile(r"(?:#|//)+\s*@([\w-]+)\s*(.*)")
COMMENT: Final = re.compile(r"(?:#|//).*")
HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*(.*)")
FOREIGN: Final = frozenset({"GRPC", "WS", "WSS", "WEBSOCKET", "SSE", "MQTT", "AMQP", "GRAPHQL", "RABBITMQ"})
SCRIPTS: Final = ("{{", "< {%", "> {%", "<{%", ">{%")


@dataclass(slots=True)
class HttpRequest:
    number: int
    """The line of its request line, counted from 1."""
    text: str
    method: str
    url: str
    title: str = ""
    meta: dict[str, str] = field(default_factory=dict)
    headers: list[tuple[str, str, int]] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    file: str | None = None
    """The path of the body, where it is a file."""
    asserts: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True)
class HttpFile:
    variables: dict[str, str] = field(default_factory=dict)
    requests: list[HttpRequest] = field(default_factory=list)


def read_requests(text: str) -> HttpFile:
    file = HttpFile()
    block: list[tuple[int, str]] = []
    title = ""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if line.startswith("###"):
            _read_block(block, title, file)
            block, title = [], line.lstrip("#").strip()
        else:
            block.append((number, line))
    _read_block(block, title, file)
    return file


def _read_block(block: list[tuple[int, str]], title: str, file: HttpFile) -> None:
    lines = iter(block)
    meta: dict[str, str] = {}
    request: HttpRequest | None = None
    for number, line in lines:
        stripped = line.strip()
        if not stripped:
            continue
        _refuse_script(number, line)
        if variable := VARIABLE.fullmatch(stripped):
            file.variables[variable[1]] = variable[2].strip()
        elif found := META.fullmatch(stripped):
            meta[found[1]] = found[2].strip()
        elif not COMMENT.fullmatch(stripped):
            request = _request(number, line, title, meta)
            break
    if request is None:
        return
    _read_head(lines, request)
    _read_rest(lines, request)
    file.requests.append(request)


def _request(number: int, line: str, title: str, meta: dict[str, str]) -> HttpRequest:
    found = REQUEST.fullmatch(line.strip())
    if found is None:
        raise Wrong(
            "bad-http", f"`{line.strip()[:80]}` is no request line", number, line, "write `GET {{base_url}}/path`"
        )
    method = found[1] or "GET"
    if method in FOREIGN:
        raise Wrong("not-known", f"`{method}` requests are not known to suites", number, line)
    return HttpRequest(number, line, method, found[2], title, meta)


def _read_head(lines: Iterator[tuple[int, str]], request: HttpRequest) -> None:
    """Query lines and headers, up to the first blank line; asserts may stand among them."""
    for number, line in lines:
        stripped = line.strip()
        if not stripped:
            return
        _refuse_script(number, line)
        if line[:1].isspace() and stripped[0] in "?&/":
            request.url += stripped
        elif stripped.startswith("??"):
            request.asserts.append((stripped[2:].strip(), number))
        elif found := META.fullmatch(stripped):
            request.meta[found[1]] = found[2].strip()
        elif header := HEADER.fullmatch(stripped):
            request.headers.append((header[1], header[2], number))
        elif not COMMENT.fullmatch(stripped):
            raise Wrong(
                "bad-http", f"`{stripped[:80]}` is no header", number, line, "leave a line blank before the body"
            )


def _read_rest(lines: Iterator[tuple[int, str]], request: HttpRequest) -> None:
    for number, line in lines:
        stripped = line.strip()
        _refuse_script(number, line)
        if stripped.startswith("??"):
            request.asserts.append((stripped[2:].strip(), number))
        elif re.match(r"<@?\w*\s+\S", stripped) and not request.body:
            request.file = stripped.split(None, 1)[1]
        elif stripped.startswith((">> ", ">>! ")):
            continue  # where an editor would save the answer
        elif not (META.fullmatch(stripped) and not request.body):
            request.body.append(line)
    while request.body and not request.body[-1].strip():
        request.body.pop()
    while request.body and not request.body[0].strip():
        request.body.pop(0)


def _refuse_script(number: int, line: str) -> None:
    stripped = line.strip()
    is_script = stripped == "{{" or stripped.startswith(SCRIPTS[1:]) or re.fullmatch(r"[<>] \S+\.js", stripped)
    if is_script or re.fullmatch(r"\{\{[@+]\w*", stripped):
        remedy = "say it with `??` lines, or write the case in YAML"
        raise Wrong("script", "a script (JavaScript) cannot be run by suites", number, line, remedy)
