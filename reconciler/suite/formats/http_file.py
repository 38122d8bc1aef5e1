"""`.http` files as editors know them, played as a suite.

Requests, variables, named responses (`{{login.response.body.$.token}}`) and `??` lines; a request without such a
line expects 2xx. The variable a URL begins with stands for the service. Scripts are refused by name.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from reconciler.model.document import MAX_BYTES
from reconciler.model.position import Position
from reconciler.model.suite.case import Body, BytesBody, Capture, Case, Request, TextBody
from reconciler.model.suite.expectation import Expectation, StatusIs, ValueIs
from reconciler.model.suite.fields import RESERVED, path_problem
from reconciler.model.suite.jsonpath import PathError, path
from reconciler.model.suite.matcher import Matcher, MatcherError, matcher
from reconciler.model.suite.subject import Subject
from reconciler.model.suite.template import NAME, Template, TemplateError, literal, template
from reconciler.suite.formats.http_requests import HttpRequest, read_requests
from reconciler.suite.formats.mustache import MARK, Unknown, below_service, converted
from reconciler.suite.formats.wrong import Wrong, place
from reconciler.suite.reading import Fragment, Reading

FUNCTIONS: Final = {"$guid": "new.uuid", "$uuid": "new.uuid", "$random.uuid": "new.uuid", "$isoTimestamp": "new.date"}
RESPONSE: Final = re.compile(r"([A-Za-z_]\w*)\.response\.(body|headers)\.(.+)")
ASSERT: Final = re.compile(
    r"(?P<subject>status|duration|sha256|header\s+\S+|body(?:\s+(?!==|!=|[<>]|\w+With\b|includes|contains|matches|exists|is[A-Z])\S+)?)"
    r"\s+(?P<not>not\s+)?(?P<predicate>==|!=|>=|<=|>|<|[A-Za-z]+)(?:\s+(?P<value>.*))?"
)
PREDICATES: Final = {
    "==": "equals",
    ">": "gt",
    ">=": "ge",
    "<": "lt",
    "<=": "le",
    "startsWith": "starts_with",
    "includes": "contains",
    "contains": "contains",
    "matches": "matches",
}
STATES: Final[dict[str, Any]] = {
    "exists": {"exists": True},
    "isTrue": {"equals": True},
    "isFalse": {"equals": False},
    "isNull": {"equals": None},
    "isNumber": {"type": "number"},
    "isString": {"type": "string"},
    "isBoolean": {"type": "boolean"},
    "isArray": {"type": "array"},
}
HARMLESS: Final = frozenset({"name", "title", "description", "note", "no-log", "no-cookie-jar", "no-redirect", "debug"})
DEEPEST: Final = 10


def read_http(content: bytes, file: str, reading: Reading) -> Fragment:
    if len(content) > MAX_BYTES:
        reading.refuse("file-too-large", f"this file is larger than {MAX_BYTES >> 10} kB", Position(1, 1, "", file))
        return Fragment()
    try:
        found = read_requests(content.decode("utf-8", "replace"))
    except Wrong as wrong:
        reading.refuse(wrong.code, str(wrong), wrong.place(file), remedy=wrong.remedy)
        return Fragment()
    reader = _Reader(file, found.variables, reading)
    return Fragment(cases=reader.with_responses([case for request in found.requests for case in reader.case(request)]))


class _Reader:
    """Turns requests into cases, and every use of an earlier answer into a capture of that answer."""

    def __init__(self, file: str, variables: dict[str, str], reading: Reading) -> None:
        self._file = file
        self._variables = variables
        self._reading = reading
        self._wanted: dict[str, dict[str, Subject]] = {}
        self._wanted_at: dict[str, tuple[int, str]] = {}
        self._names: set[str] = set()

    def case(self, request: HttpRequest) -> Iterator[Case]:
        if "disabled" in request.meta:
            return
        try:
            yield self._case(request)
        except Wrong as wrong:
            self._reading.refuse(wrong.code, str(wrong), wrong.place(self._file), remedy=wrong.remedy)

    def with_responses(self, cases: list[Case]) -> list[Case]:
        for name in self._wanted.keys() - {case.given_name for case in cases}:
            at = place(*self._wanted_at[name], self._file)
            self._reading.refuse("unknown-case", f"no request is named `{name}`", at, remedy=f"add `# @name {name}`")
        return [replace(case, captures=tuple(self._captures(case))) for case in cases]

    def _captures(self, case: Case) -> Iterator[Capture]:
        for name, subject in self._wanted.get(case.given_name, {}).items():
            yield Capture(name, subject, case.place)

    def _case(self, request: HttpRequest) -> Case:
        if unknown := sorted(request.meta.keys() - HARMLESS - {"ref", "forceRef"}):
            raise self._wrong("not-known", f"`@{unknown[0]}` is not known to suites", request)
        expectations = tuple(self._assert(text, number) for text, number in request.asserts)
        at = place(request.number, request.text, self._file)
        needed = [request.meta[key] for key in ("ref", "forceRef") if key in request.meta]
        return Case(
            name=self._name(request),
            given_name=request.meta.get("name", ""),
            request=self._request(request),
            expectations=expectations or (StatusIs((template("2xx"),), at),),
            needs=tuple(needed),
            place=at,
        )

    def _name(self, request: HttpRequest) -> str:
        name = request.title or request.meta.get("title") or request.meta.get("name") or request.text.strip()
        name = name if name not in self._names else f"{name} (line {request.number})"
        self._names.add(name)
        return name

    def _request(self, request: HttpRequest) -> Request:
        below = below_service(request.url, self._is_below)
        if below is None or (problem := path_problem(MARK.sub("x", below))):
            told = (
                problem
                if below is not None
                else f"`{request.url[:80]}` names a host; a suite asks its own service only"
            )
            raise self._wrong("not-below-service", str(told), request, "begin it with a variable: {{base_url}}/tasks")
        headers = [(name, self._template(value, number)) for name, value, number in request.headers]
        return Request(
            method=request.method,
            path=self._template(below, request.number),
            headers=tuple(pair for pair in headers if pair[0].lower() != "host"),
            body=self._body(request),
            follow_redirects="no-redirect" not in request.meta,
        )

    def _is_below(self, name: str) -> bool:
        """Is this variable a path or a part of one, rather than the address of the service?"""
        value = self._variables.get(name)
        return value is not None and not re.match(r"https?://|\{\{", value)

    def _body(self, request: HttpRequest) -> Body | None:
        if request.file is not None:
            at = place(request.number, request.text, self._file)
            return BytesBody(self._reading.content(request.file, at) or b"")
        if not request.body:
            return None
        types = " ".join(value for name, value, _ in request.headers if name.lower() == "content-type")
        joint = "" if "x-www-form-urlencoded" in types else "\n"
        return TextBody(self._template(joint.join(request.body), request.number), None)

    def _assert(self, text: str, number: int) -> Expectation:
        found = ASSERT.fullmatch(text)
        at = place(number, text, self._file)
        if found is None:
            remedy = "known are `status`, `header NAME`, `body`, `body PATH` and `duration`"
            raise Wrong("not-known", f"`?? {text[:80]}` is not known to suites", number, text, remedy)
        return ValueIs(self._subject(found["subject"], number), self._matcher(found, number), at)

    def _subject(self, written: str, number: int) -> Subject:
        kind, _, argument = written.partition(" ")
        argument = argument.strip()
        if kind == "body" and argument:
            return Subject("json", self._path(argument, number), listed=True)
        return Subject(kind, self._template(argument, number) if argument else None)

    def _path(self, written: str, number: int) -> Template:
        """`items.0.id`, as editors write it, or a JSONPath."""
        steps = written.split(".")
        text = (
            written if written.startswith("$") else "$" + "".join(f"[{s}]" if s.isdigit() else f".{s}" for s in steps)
        )
        try:
            path(text)
        except PathError as error:
            raise Wrong("bad-jsonpath", str(error), number, written) from None
        return template(text)

    def _matcher(self, found: re.Match[str], number: int) -> Matcher:
        name, value = found["predicate"], (found["value"] or "").strip()
        if name in STATES:
            held: dict[str, Any] = dict(STATES[name])
        elif name == "!=":
            held = {"not": {"equals": self._value(value, number)}}
        elif name == "endsWith":
            held = {"matches": re.escape(value) + r"\z"}
        elif name in PREDICATES:
            held = {PREDICATES[name]: literal(value) if name == "matches" else self._value(value, number)}
        else:
            raise Wrong("not-known", f"`{name}` is not known to suites", number, found[0])
        try:
            return matcher({"not": held} if found["not"] else held)
        except MatcherError as error:
            raise Wrong("bad-matcher", str(error), number, found[0]) from None

    def _value(self, written: str, number: int) -> Any:
        if "{{" in written:
            return self._template(written, number).value
        try:
            value = json.loads(written)
        except (ValueError, RecursionError):
            return literal(written)
        return literal(value) if isinstance(value, str) else value

    def _template(self, text: str, number: int) -> Template:
        try:
            return template(converted(self._expanded(text), lambda name: self._meaning(name, number, text)))
        except Unknown as unknown:
            raise Wrong("not-known", f"`{{{{{unknown}}}}}` is not a variable that suites know", number, text) from None
        except TemplateError as error:
            raise Wrong("bad-template", str(error), number, text) from None

    def _expanded(self, text: str) -> str:
        """File variables are text, and may hold variables themselves."""
        for _ in range(DEEPEST):
            expanded = MARK.sub(lambda mark: self._variables.get(mark[1], mark[0]), text)
            if expanded == text or len(expanded) > MAX_BYTES:
                return text
            text = expanded
        return text

    def _meaning(self, name: str, number: int, text: str) -> str | None:
        if name in FUNCTIONS:
            return FUNCTIONS[name]
        if found := RESPONSE.fullmatch(name):
            self._wanted_at.setdefault(found[1], (number, text))
            return self._response(found[1], found[2], found[3])
        return name if NAME.fullmatch(name) and name not in RESERVED else None

    def _response(self, case: str, where: str, what: str) -> str | None:
        subject = Subject("header", template(what))
        if where == "body":
            subject = Subject("body") if what == "*" else Subject("json", self._path(what, 1), listed=True)
        wanted = self._wanted.setdefault(case, {})
        known = next((name for name, other in wanted.items() if other == subject), None)
        name = known or f"{case}_response_{len(wanted) + 1}"
        wanted[name] = subject
        return name

    def _wrong(self, code: str, message: str, request: HttpRequest, remedy: str | None = None) -> Wrong:
        return Wrong(code, message, request.number, request.text, remedy)
