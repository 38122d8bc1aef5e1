"""`.hurl` files: entries, captures, asserts and options, played as a suite.

Hurl asks any host; a suite asks its own service, so a URL begins with a variable nobody sets (`{{base_url}}/tasks`) or
with a slash. XPath, certificates, proxies and the like are refused by name.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Final

from reconciler.model.document import MAX_BYTES
from reconciler.model.duration import seconds
from reconciler.model.position import Position
from reconciler.model.suite.case import (
    Body,
    BytesBody,
    Capture,
    Case,
    FormBody,
    MultipartBody,
    Request,
    Retry,
    TextBody,
    Upload,
)
from reconciler.model.suite.expectation import Expectation, StatusIs, ValueIs
from reconciler.model.suite.fields import RESERVED, path_problem
from reconciler.model.suite.matcher import Check, Matcher, MatcherError, matcher
from reconciler.model.suite.subject import Subject
from reconciler.model.suite.template import NAME, Template, TemplateError, literal, template
from reconciler.suite.formats.hurl_asserts import Refused, Sentence
from reconciler.suite.formats.hurl_entries import Entry, Line, Message, Misplaced, entries, pair
from reconciler.suite.formats.hurl_words import Unreadable, words
from reconciler.suite.formats.mustache import Unknown, below_service, converted
from reconciler.suite.formats.wrong import Wrong, place
from reconciler.suite.reading import Fragment, Reading

FUNCTIONS: Final = {"newUuid": "new.uuid", "newDate": "new.date"}
SECTIONS: Final = {
    "QueryStringParams": "Query", "FormParams": "Form", "MultipartFormData": "Multipart",
    **{name: name for name in ("Query", "Form", "Multipart", "Cookies", "BasicAuth", "Options", "Captures", "Asserts")},
}  # fmt: skip
HARMLESS: Final = ("verbose", "very-verbose", "compressed", "http1.1", "header", "verbosity")
FILE: Final = re.compile(r"file,([^;]+);\s*(.*)")


def read_hurl(content: bytes, file: str, reading: Reading) -> Fragment:
    if len(content) > MAX_BYTES:
        reading.refuse("file-too-large", f"this file is larger than {MAX_BYTES >> 10} kB", Position(1, 1, "", file))
        return Fragment()
    text = content.decode("utf-8", "replace")
    try:
        found = entries(text)
    except Misplaced as misplaced:
        at = place(misplaced.line.number, misplaced.line.text, file)
        reading.refuse("bad-hurl", f"`{misplaced}` is neither a request nor part of one", at)
        return Fragment()
    reader = _Reader(file, reading)
    cases = [case for entry in found for case in reader.case(entry)]
    return Fragment(cases=cases)


class _Reader:
    """Turns entries into cases; remembers which variables have been captured, and which names are taken."""

    def __init__(self, file: str, reading: Reading) -> None:
        self._file = file
        self._reading = reading
        self._captured: set[str] = set()
        self._names: set[str] = set()

    def case(self, entry: Entry) -> Iterator[Case]:
        try:
            case = self._case(entry)
        except Wrong as wrong:
            self._reading.refuse(wrong.code, str(wrong), wrong.place(self._file), remedy=wrong.remedy)
            return
        if case is not None:
            self._captured |= {capture.name for capture in case.captures}
            yield case

    def _case(self, entry: Entry) -> Case | None:
        line = entry.request.first
        options = self._options(entry.request)
        if options.pop("skip", "false") == "true":
            return None
        request = self._request(entry.request, options)
        if entry.response is None:
            raise _wrong("expects-nothing", "a case expects nothing", line, "add `HTTP 200`, or asserts")
        expectations = tuple(self._expectations(entry.response))
        if not expectations:
            raise _wrong(
                "expects-nothing", "a case expects nothing", entry.response.first, "write the status, or asserts"
            )
        name = self._name(entry, request)
        return Case(
            name=name,
            given_name=name,
            request=request,
            expectations=expectations,
            captures=tuple(self._captures(entry.response)),
            retry=self._retry(options, line),
            row=self._row(entry.request),
            place=self._place(line),
        )

    def _name(self, entry: Entry, request: Request) -> str:
        name = entry.name or f"{request.method} {request.path.value}"
        name = name if name not in self._names else f"{name} (line {entry.request.first.number})"
        self._names.add(name)
        return name

    def _request(self, message: Message, options: dict[str, str]) -> Request:
        method, url = message.first.text.strip().split(None, 1)
        url = re.sub(r"\s+#.*$", "", url).strip()
        path = below_service(url, lambda name: name in self._captured)
        if path is None or (problem := path_problem(shape_of(path))):
            told = problem if path is not None else f"`{url[:80]}` names a host; a suite asks its own service only"
            raise _wrong("not-below-service", told or "", message.first, "begin it with a variable: {{base_url}}/tasks")
        headers = [self._pair(line) for line in message.headers]
        headers += self._cookies(message) + self._basic_auth(message)
        return Request(
            method=method,
            path=self._template(path, message.first),
            headers=tuple(headers),
            query=self._pairs(message, "Query"),
            body=self._body(message),
            follow_redirects=options.get("location") == "true",
            timeout=self._seconds(options["max-time"], message.first) if "max-time" in options else None,
        )

    def _pairs(self, message: Message, section: str) -> tuple[tuple[Template, Template], ...]:
        lines = _section(message, section)
        return tuple((self._template(self._pair(line)[0], line), self._pair(line)[1]) for line in lines)

    def _pair(self, line: Line) -> tuple[str, Template]:
        try:
            name, value = pair(line)
        except Misplaced:
            raise _wrong("bad-hurl", "this is no `name: value`", line) from None
        return name, self._template(value, line)

    def _cookies(self, message: Message) -> list[tuple[str, Template]]:
        pairs = [pair(line) for line in _section(message, "Cookies")]
        if not pairs:
            return []
        return [("Cookie", self._template("; ".join(f"{name}={value}" for name, value in pairs), message.first))]

    def _basic_auth(self, message: Message) -> list[tuple[str, Template]]:
        for line in _section(message, "BasicAuth"):
            user, password = pair(line)
            if "{{" in user + password:
                raise _wrong("not-known", "variables in [BasicAuth] are not known to suites", line, "send the header")
            return [("Authorization", template("Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()))]
        return []

    def _body(self, message: Message) -> Body | None:
        if form := self._pairs(message, "Form"):
            return FormBody(form)
        if parts := _section(message, "Multipart"):
            return self._multipart(parts)
        return self._content(message.body[0]) if message.body else None

    def _multipart(self, parts: list[Line]) -> Body:
        fields: list[tuple[Template, Template]] = []
        uploads: list[Upload] = []
        for line in parts:
            name, value = pair(line)
            if found := FILE.fullmatch(value):
                content = self._reading.content(found[1].strip(), self._place(line)) or b""
                file_name = template(literal(found[1].strip().rpartition("/")[2]))
                uploads.append(Upload(name, file_name, content, found[2] or "application/octet-stream"))
            else:
                fields.append((self._template(name, line), self._template(value, line)))
        return MultipartBody(tuple(fields), tuple(uploads))

    def _content(self, line: Line) -> Body:
        text = line.text.strip()
        if text.startswith(("{", "[")):
            return TextBody(self._template(text, line), "application/json")
        if text.startswith("<"):
            return TextBody(self._template(text, line), "application/xml")
        if text.startswith("```"):
            language, _newline, inside = text[3:-3].partition("\n")
            if not _newline:
                return TextBody(self._template(language, line), None)
            media_type = {"json": "application/json", "xml": "application/xml"}.get(language.strip())
            return TextBody(self._template(inside, line), media_type)
        if text.startswith("`"):
            return TextBody(self._template(text.strip("`"), line), None)
        return BytesBody(self._bytes(line))

    def _bytes(self, line: Line) -> bytes:
        kind, _comma, rest = line.text.strip().rstrip(";").partition(",")
        try:
            if kind == "base64":
                return base64.b64decode(re.sub(r"\s", "", rest), validate=True)
            if kind == "hex":
                return bytes.fromhex(rest)
        except ValueError:
            raise _wrong("bad-hurl", f"this is not {kind}", line) from None
        return self._reading.content(rest.strip(), self._place(line)) or b""

    def _expectations(self, message: Message) -> Iterator[Expectation]:
        version, status = re.match(r"HTTP(?:/(\S+))? +(\S+)", message.first.text.strip()).groups()  # type: ignore[union-attr]
        if version not in (None, "1.0", "1.1"):
            raise _wrong(
                "not-known", f"HTTP/{version} is not known to suites; a candidate speaks HTTP/1.1", message.first
            )
        if status != "*":
            yield StatusIs((template(status),), self._place(message.first))
        for line in message.headers:
            name, value = self._pair(line)
            yield ValueIs(Subject("header", template(name)), Matcher((Check("equals", value),)), self._place(line))
        for line in _section(message, "Asserts"):
            yield self._assert(line)
        for line in message.body:
            yield self._same_body(line)

    def _assert(self, line: Line) -> Expectation:
        try:
            sentence = Sentence(words(line.text), self._meaning)
            subject, held = sentence.subject(), sentence.matcher()
            sentence.finish()
        except (Refused, Unreadable, Unknown) as error:
            raise _wrong("not-known", str(error), line) from None
        if sentence.regex is not None:
            raise _wrong("not-known", "`regex` is known in captures only", line, "capture it, and assert on `variable`")
        return ValueIs(subject, held, self._place(line))

    def _same_body(self, line: Line) -> Expectation:
        body = self._content(line)
        at = self._place(line)
        if isinstance(body, BytesBody):
            return ValueIs(Subject("sha256"), matcher(hashlib.sha256(body.content).hexdigest()), at)
        if not isinstance(body, TextBody) or body.media_type == "application/xml" or not body.text.constant:
            told = "a body with variables, or in XML, is not compared by suites"
            raise _wrong("not-known", told, line, "use asserts: `jsonpath` or `body`")
        if body.media_type != "application/json":
            return ValueIs(Subject("body"), matcher({"equals": literal(str(body.text.value))}), at)
        try:
            value = json.loads(str(body.text.value), parse_constant=_no_constant)
            return ValueIs(Subject("json", template("$")), matcher({"equals": _protected(value)}), at)
        except (ValueError, RecursionError, MatcherError):
            raise _wrong("bad-hurl", "this body is not JSON", line) from None

    def _captures(self, message: Message) -> Iterator[Capture]:
        for line in _section(message, "Captures"):
            name, _colon, rest = line.text.strip().partition(":")
            if not NAME.fullmatch(name.strip()) or name.strip() in RESERVED:
                raise _wrong("bad-name", f"`{name.strip()}` cannot be a variable", line)
            try:
                sentence = Sentence(words(rest), self._meaning)
                subject = sentence.subject()
                sentence.finish()
            except (Refused, Unreadable, Unknown) as error:
                raise _wrong("not-known", str(error), line) from None
            yield Capture(name.strip(), subject, self._place(line), sentence.regex)

    def _options(self, message: Message) -> dict[str, str]:
        options: dict[str, str] = {}
        for line in _section(message, "Options"):
            name, value = pair(line)
            if name not in (*HARMLESS, "retry", "retry-interval", "location", "max-time", "skip", "variable"):
                raise _wrong("not-known", f"the option `{name}` is not known to suites", line)
            options[name] = value
        return options

    def _row(self, message: Message) -> dict[str, Template]:
        lines = [line for line in _section(message, "Options") if pair(line)[0] == "variable"]
        given = [(pair(line)[1].partition("="), line) for line in lines]
        return {name.strip(): self._template(value.strip().strip('"'), line) for (name, _, value), line in given}

    def _retry(self, options: dict[str, str], line: Line) -> Retry:
        if "retry" not in options:
            return Retry()
        times = int(options["retry"]) if options["retry"].lstrip("-").isdigit() else 0
        every = self._seconds(options.get("retry-interval", "1000ms"), line)
        return Retry(1 + (times if times >= 0 else 1_000), every)

    def _seconds(self, text: str, line: Line) -> float:
        length = seconds(text if re.search("[a-z]", text) else f"{text}ms")
        if length is None:
            raise _wrong("bad-hurl", f"`{text}` is not a duration", line)
        return length

    def _template(self, text: str, line: Line) -> Template:
        try:
            return template(converted(text, self._meaning))
        except Unknown as unknown:
            raise _wrong("not-known", f"`{{{{{unknown}}}}}` is not a variable that suites know", line) from None
        except TemplateError as error:
            raise _wrong("bad-template", str(error), line) from None

    def _meaning(self, name: str) -> str | None:
        return FUNCTIONS.get(name) or (name if NAME.fullmatch(name) and name not in RESERVED else None)

    def _place(self, line: Line) -> Position:
        return place(line.number, line.text, self._file)


def _wrong(code: str, message: str, line: Line, remedy: str | None = None) -> Wrong:
    return Wrong(code, message, line.number, line.text, remedy)


def shape_of(path: str) -> str:
    """The path with something harmless for each variable, to look at its shape."""
    return re.sub(r"\{\{.*?\}\}", "x", path)


def _section(message: Message, wanted: str) -> list[Line]:
    found: list[Line] = []
    for line, name, lines in message.sections:
        if name not in SECTIONS:
            raise _wrong("not-known", f"the section [{name}] is not known to suites", line)
        if SECTIONS[name] == wanted:
            found += lines
    return found


def _protected(value: object) -> object:
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, dict):
        return {literal(key): _protected(item) for key, item in value.items()}
    return [_protected(item) for item in value] if isinstance(value, list) else value


def _no_constant(text: str) -> object:
    raise ValueError(text)
