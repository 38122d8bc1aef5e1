"""What a value in a response must be: `equals`, `not`, `lt`, `matches`, `type`, `count`, `absent` and the rest.

A plain value means `equals`; the words `absent` and `exists` alone mean the matchers. A path that may find
several nodes (`$.items[*].id`) hands over all of them: `count`, `contains`, `exists`, `absent` and `equals` with a
list look at them together, everything else must hold for each, and for at least one.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler.model.suite.pattern import PatternError, pattern
from reconciler.model.suite.template import Reference, Scope, Template, as_text, template

TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
BARE: Final = ("exists", "absent")
ORDER: Final = ("lt", "le", "gt", "ge")


class MatcherError(ValueError):
    """A matcher that could never be judged, whatever comes back."""


class UnknownMatcher(MatcherError):
    """A word that is no matcher; it is all the message says."""


class Missing:
    """There is nothing there; JSON's null is something."""

    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = Missing()


class Nodes(list[object]):
    """Everything a path found that may find several."""


class Text(str):
    """Text off the wire (a header, a body, a cookie): it equals a number when it spells it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    expected: Template
    inner: "Matcher | None" = None
    """What `not` and `count` hold instead of a value."""

    def holds(self, got: object, scope: Scope) -> bool:
        expected = self.inner if self.inner is not None else self.expected.render(scope)
        if isinstance(got, Nodes) and not self._takes_all(expected):
            return bool(got) and all(self._one(node, expected, scope) for node in got)
        return self._one(got, expected, scope)

    def text(self, scope: Scope) -> str:
        if self.inner is not None:
            inner = self.inner.text(scope)
            return inner if self.name == "count" and inner.startswith("count") else f"{self.name} {inner}"
        expected = as_text_of(self.expected.render(scope))
        if self.name == "equals":
            return expected
        if self.name in BARE:
            return self.name if self.expected.value is True else f"not {self.name}"
        return f"{WORDS.get(self.name, self.name)} {expected}"

    def _takes_all(self, expected: object) -> bool:
        if self.name == "not" and isinstance(expected, Matcher):
            return all(check._takes_all(check.expected.value) for check in expected.checks)
        return self.name in TOGETHER or (self.name == "equals" and isinstance(expected, list))

    def _one(self, got: object, expected: Any, scope: Scope) -> bool:
        if self.name == "not":
            return _can_be_denied(got, expected) and not any(check.holds(got, scope) for check in expected.checks)
        if self.name == "count":
            size = _size(got)
            return size is not None and expected.holds(size, scope)
        if isinstance(got, Missing) and self.name not in BARE:
            return False
        return OPERATORS[self.name](got, expected)


@dataclass(frozen=True, slots=True)
class Matcher:
    checks: tuple[Check, ...]

    def failing(self, got: object, scope: Scope) -> Iterator[Check]:
        return (check for check in self.checks if not check.holds(got, scope))

    def holds(self, got: object, scope: Scope) -> bool:
        return all(check.holds(got, scope) for check in self.checks)

    def text(self, scope: Scope) -> str:
        return " and ".join(check.text(scope) for check in self.checks)

    @property
    def references(self) -> Iterator[Reference]:
        for check in self.checks:
            yield from check.expected.references
            if check.inner is not None:
                yield from check.inner.references


def matcher(value: object) -> Matcher:
    """Read what stands after a header, a path or `body`; raises `MatcherError` or `TemplateError`."""
    if isinstance(value, str) and value in BARE:
        return Matcher((Check(value, template(True)),))
    if not isinstance(value, Mapping):
        return Matcher((Check("equals", template(value)),))
    if not value:
        raise MatcherError("an empty mapping matches nothing in particular; write {equals: {}} to compare with one")
    return Matcher(tuple(_check(str(name), expected) for name, expected in value.items()))


def is_equal(got: object, expected: object) -> bool:
    """JSON's equality: 1 is 1.0, and neither is true."""
    if isinstance(got, Text) and not isinstance(expected, str):
        return str(got) == as_text(expected)
    if isinstance(got, bool) or isinstance(expected, bool):
        return got is expected
    if isinstance(got, Mapping) and isinstance(expected, Mapping):
        return got.keys() == expected.keys() and all(is_equal(got[key], expected[key]) for key in got)
    if isinstance(got, list) and isinstance(expected, list):
        return len(got) == len(expected) and all(is_equal(one, other) for one, other in zip(got, expected, strict=True))
    return got == expected


def type_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def as_text_of(value: object) -> str:
    """How a value is shown to people: strings in quotes, so that "1" and 1 differ."""
    if isinstance(value, Missing):
        return repr(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _check(name: str, expected: object) -> Check:
    if name not in NAMES:
        raise UnknownMatcher(name)
    if name in ("not", "count") and not (name == "count" and isinstance(expected, int)):
        return Check(name, template(None), _inner(name, expected))
    if name == "count":
        return Check(name, template(None), Matcher((Check("equals", template(expected)),)))
    compiled = template(expected)
    if compiled.constant:
        _validate(name, compiled.value)
    return Check(name, compiled)


def _inner(name: str, expected: object) -> Matcher:
    inner = matcher(expected)
    if name == "count":
        for check in inner.checks:
            if check.name not in ("equals", "not", "in", *ORDER):
                raise MatcherError(f"`count` is a number; `{check.name}` says nothing about one")
            if check.name == "equals" and check.expected.constant:
                raise MatcherError(f"`count` is a number, not {as_text_of(check.expected.value)}")
    return inner


def _validate(name: str, expected: object) -> None:
    if name == "matches":
        if not isinstance(expected, str):
            raise MatcherError(f"`matches` takes a pattern, not {as_text_of(expected)}; put it in quotes")
        try:
            pattern(expected)
        except PatternError as error:
            raise MatcherError(str(error)) from None
    elif name == "type":
        wanted = expected if isinstance(expected, list) else [expected]
        if unknown := [kind for kind in wanted if kind not in TYPES]:
            raise MatcherError(f"there is no type {as_text_of(unknown[0])}; the types are {', '.join(TYPES)}")
    elif name == "in" and not isinstance(expected, list):
        raise MatcherError("`in` takes a list of values")
    elif name in BARE and not isinstance(expected, bool):
        raise MatcherError(f"`{name}` takes true or false")
    elif name == "starts_with" and not isinstance(expected, str):
        raise MatcherError("`starts_with` takes a text")
    elif name in ORDER and (isinstance(expected, bool) or not isinstance(expected, (int, float, str))):
        raise MatcherError(f"`{name}` takes a number or a text")


def _can_be_denied(got: object, inner: Matcher) -> bool:
    """What is not there is not "anything but 5" either, unless being there is the question."""
    return not isinstance(got, Missing) or any(check.name in BARE for check in inner.checks)


def _size(got: object) -> int | None:
    return len(got) if isinstance(got, (list, str, Mapping)) else None


def _contains(got: object, expected: object) -> bool:
    if isinstance(got, str):
        return as_text(expected) in got
    if isinstance(got, list):
        return any(is_equal(item, expected) for item in got)
    if isinstance(got, Mapping) and isinstance(expected, Mapping):
        return all(key in got and is_equal(got[key], value) for key, value in expected.items())
    return isinstance(got, Mapping) and expected in got


def _matches(got: object, expected: object) -> bool:
    return isinstance(got, str) and isinstance(expected, str) and pattern(expected).found_in(got)


def _is_type(got: object, expected: object) -> bool:
    wanted: Sequence[object] = expected if isinstance(expected, list) else [expected]
    kind = type_of(got)
    return kind in wanted or ("number" in wanted and kind == "integer") or ("integer" in wanted and _is_whole(got))


def _is_whole(got: object) -> bool:
    return isinstance(got, float) and got.is_integer()


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
    def holds(got: object, expected: object) -> bool:
        if isinstance(got, Text) and _is_number(expected):
            got = _number(got)
        if (_is_number(got) and _is_number(expected)) or (isinstance(got, str) and isinstance(expected, str)):
            return compare(got, expected)
        return False

    return holds


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


OPERATORS: Final[dict[str, Callable[[object, object], bool]]] = {
    "equals": is_equal,
    "lt": _ordered(lambda got, limit: got < limit),
    "le": _ordered(lambda got, limit: got <= limit),
    "gt": _ordered(lambda got, limit: got > limit),
    "ge": _ordered(lambda got, limit: got >= limit),
    "contains": _contains,
    "matches": _matches,
    "starts_with": lambda got, start: isinstance(got, str) and isinstance(start, str) and got.startswith(start),
    "type": _is_type,
    "in": lambda got, allowed: isinstance(allowed, list) and any(is_equal(got, item) for item in allowed),
    "exists": lambda got, wanted: _is_there(got) is wanted,
    "absent": lambda got, wanted: _is_there(got) is not wanted,
}
NAMES: Final = (
    "equals", "not", "lt", "le", "gt", "ge", "contains", "matches", "starts_with", "type", "count", "in", "exists",
    "absent",
)  # fmt: skip
TOGETHER: Final = ("count", "contains", "exists", "absent")
WORDS: Final = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "starts_with": "starts with", "in": "one of"}


def _is_there(got: object) -> bool:
    return not isinstance(got, Missing) and not (isinstance(got, Nodes) and not got)
