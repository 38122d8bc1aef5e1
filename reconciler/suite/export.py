"""One case, as it was asked, as a `.hurl` entry that anybody can run without us.

What Hurl cannot say (a schema, one of several values) stands there as a comment rather than being left out.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from reconciler.model.suite.case import Case
from reconciler.model.suite.expectation import Expectation, FitsOpenApi, FitsSchema, LastsAtMost, StatusIs, ValueIs
from reconciler.model.suite.matcher import Check
from reconciler.model.suite.template import Scope, Undefined
from reconciler.suite.call import OUR_ID, Call

COMPARISONS: Final = {
    "equals": "==",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "contains": "contains",
    "starts_with": "startsWith",
}
TYPES: Final = {
    "array": "isList",
    "boolean": "isBoolean",
    "integer": "isInteger",
    "number": "isNumber",
    "object": "isObject",
    "string": "isString",
}
QUERIES: Final = {"json": "jsonpath"}


def hurl(case: Case, call: Call, scope: Scope, prefix: str, public: str) -> str:
    lines = [
        f"# hurl --variable base_url={public}{prefix}",
        f"# {' '.join(case.name.split())}",
        f"{call.method} {{{{base_url}}}}{call.target.removeprefix(prefix)}",
        *(f"{name}: {value}" for name, value in call.headers if not value.startswith(OUR_ID)),
        *_parts(call),
        *_body(call),
        "",
        *_response(case, scope),
    ]
    return "\n".join(lines) + "\n"


def _parts(call: Call) -> Iterator[str]:
    if call.fields or call.attachments:
        yield "[Multipart]"
        yield from (f"{name}: {value}" for name, value in call.fields)
        yield from (f"{part.field}: file,{part.file_name}; {part.media_type}" for part in call.attachments)


def _body(call: Call) -> Iterator[str]:
    if call.content is None:
        return
    text = call.content.decode("utf-8", "replace")
    yield from ("```", f"{text}```") if not text.startswith(("{", "[")) else (text,)


def _response(case: Case, scope: Scope) -> Iterator[str]:
    asserts: list[str] = []
    status = "*"
    for expectation in case.expectations:
        if isinstance(expectation, StatusIs) and _is_one_number(expectation, scope):
            status = expectation.allowed[0].text(scope)
        else:
            asserts += _asserts(expectation, scope)
    yield f"HTTP {status}"
    if asserts:
        yield from ("[Asserts]", *asserts)


def _is_one_number(expectation: StatusIs, scope: Scope) -> bool:
    return len(expectation.allowed) == 1 and expectation.allowed[0].text(scope).isdigit()


def _asserts(expectation: Expectation, scope: Scope) -> Iterator[str]:
    match expectation:
        case StatusIs(allowed):
            forms = "|".join(one.text(scope).lower().replace("x", ".") for one in allowed)
            yield f"status toString matches /^({forms})$/"
        case LastsAtMost(milliseconds):
            yield f"duration <= {round(milliseconds)}"
        case FitsSchema(schema):
            yield f"# a body that fits {schema.name}"
        case FitsOpenApi():
            yield "# a body that fits the service's OpenAPI document"
        case ValueIs(subject, matcher):
            query = QUERIES.get(subject.kind, subject.kind)
            argument = f" {json.dumps(subject.argument.text(scope), ensure_ascii=False)}" if subject.argument else ""
            yield from (_assert(f"{query}{argument}", check, scope) for check in matcher.checks)


def _assert(query: str, check: Check, scope: Scope) -> str:
    try:
        said = _predicate(check, scope)
    except Undefined as undefined:
        return f"# {query}: {undefined}"
    return f"{query} {said}" if said else f"# {query} is {check.text(scope)}"


def _predicate(check: Check, scope: Scope) -> str | None:
    expected = check.expected.render(scope)
    if check.inner is not None:
        inner = _predicate(check.inner.checks[0], scope) if len(check.inner.checks) == 1 else None
        return inner and f"{check.name} {inner}"
    if check.name in ("exists", "absent"):
        return "exists" if (check.name == "exists") is expected else "not exists"
    if check.name == "matches":
        return f"matches /{str(expected).replace('/', chr(92) + '/')}/"
    if check.name == "type":
        return TYPES.get(str(expected))
    if check.name in COMPARISONS and not isinstance(expected, (dict, list)):
        return f"{COMPARISONS[check.name]} {_literal(expected)}"
    return None


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
