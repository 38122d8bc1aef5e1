"""What a `.hurl` file asks of a response: a query, filters and a predicate become a subject and a matcher.

What needs XML, certificates or dates is refused by its name rather than passed over.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from reconciler.model.suite.jsonpath import PathError, path
from reconciler.model.suite.matcher import Matcher, MatcherError, matcher
from reconciler.model.suite.subject import FILTERS, Filter, Subject
from reconciler.model.suite.template import literal, template
from reconciler.suite.formats.hurl_words import Word
from reconciler.suite.formats.mustache import converted

QUERIES: Final = {
    "status": ("status", False),
    "url": ("url", False),
    "header": ("header", True),
    "cookie": ("cookie", True),
    "body": ("body", False),
    "jsonpath": ("json", True),
    "variable": ("variable", True),
    "duration": ("duration", False),
    "sha256": ("sha256", False),
    "md5": ("md5", False),
    "bytes": ("bytes", False),
}
ARGUMENTS: Final = {"nth": 1, "split": 1, "replace": 2, "jsonpath": 1}
COMPARISONS: Final = {
    "==": "equals",
    ">": "gt",
    ">=": "ge",
    "<": "lt",
    "<=": "le",
    "equals": "equals",
    "greaterThan": "gt",
    "greaterThanOrEquals": "ge",
    "lessThan": "lt",
    "lessThanOrEquals": "le",
    "contains": "contains",
    "includes": "contains",
    "startsWith": "starts_with",
}
TYPES: Final[dict[str, Any]] = {
    "isBoolean": {"type": "boolean"},
    "isCollection": {"type": ["array", "object"]},
    "isList": {"type": "array"},
    "isObject": {"type": "object"},
    "isString": {"type": "string"},
    "isInteger": {"type": "integer"},
    "isFloat": {"type": "number"},
    "isNumber": {"type": "number"},
    "isEmpty": {"count": 0},
    "isIsoDate": {"matches": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$"},
    "isUuid": {"matches": r"^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
    "isIpv4": {"matches": r"^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$"},
    "exists": {"exists": True},
}

Meaning = Callable[[str], str | None]


class Refused(ValueError):
    """A word that is known to Hurl and not to a suite, or to neither."""


class Sentence:
    """The words of one line, taken from the front."""

    def __init__(self, words: Sequence[Word], meaning: Meaning) -> None:
        self._words = list(words)
        self._meaning = meaning
        self.regex: str | None = None

    @property
    def is_done(self) -> bool:
        return not self._words

    def subject(self) -> Subject:
        """A query with its filters; a pattern at the end is kept apart, since only captures can use it."""
        name = self._name("a query, like `jsonpath` or `header`")
        if name == "regex":
            self.regex = self._pattern()
            return Subject("body")
        if name not in QUERIES:
            raise Refused(f"`{name}` is not a query that suites know")
        kind, has_argument = QUERIES[name]
        argument = self._text(f"what `{name}` looks for") if has_argument else None
        if kind == "json" and argument is not None:
            _check_path(argument)
        read = template(converted(argument, self._meaning)) if argument is not None else None
        return Subject(kind, read, tuple(self._filters()), listed=True)

    def matcher(self) -> Matcher:
        negated = bool(self._words) and self._words[0].is_name("not")
        if negated:
            self._words.pop(0)
        held = self._predicate(self._name("a predicate, like `==` or `exists`"))
        try:
            return matcher({"not": held} if negated else held)
        except MatcherError as error:
            raise Refused(str(error)) from None

    def finish(self) -> None:
        if self._words:
            raise Refused(f"nothing is known to follow here, and `{self._words[0].value}` does")

    def _filters(self) -> list[Filter]:
        found: list[Filter] = []
        while self._words and self._words[0].kind == "name" and not _is_predicate(self._words[0].value):
            name = self._words.pop(0).value
            if name == "regex":
                self.regex = self._pattern()
                return found
            if name == "redact":
                continue
            if name not in FILTERS:
                raise Refused(f"`{name}` is not a filter that suites know")
            found.append(Filter(name, self._filter_argument(name)))
        return found

    def _filter_argument(self, name: str) -> Any:
        count = ARGUMENTS.get(name, 0)
        values = [self._value(f"what `{name}` needs") for _ in range(count)]
        if name == "jsonpath":
            _check_path(str(values[0]))
        return tuple(values) if count > 1 else values[0] if values else None

    def _predicate(self, name: str) -> dict[str, Any]:
        if name in TYPES:
            return dict(TYPES[name])
        if name in COMPARISONS:
            return {COMPARISONS[name]: self._value("a value to compare with")}
        if name in ("!=", "notEquals"):
            return {"not": {"equals": self._value("a value to compare with")}}
        if name == "endsWith":
            return {"matches": re.escape(self._text("what it ends with")) + r"\z"}
        if name == "matches":
            return {"matches": literal(self._pattern())}
        raise Refused(f"`{name}` is not a predicate that suites know")

    def _value(self, expected: str) -> Any:
        word = self._pop(expected)
        if word.kind == "name" and word.value in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[word.value]
        if word.kind in ("string", "template"):
            return converted(word.value, self._meaning)
        if word.kind == "number":
            return word.value
        raise Refused(f"`{word.value}` is not a value that suites know")

    def _text(self, expected: str) -> str:
        word = self._pop(expected)
        if word.kind != "string":
            raise Refused(f"{expected} stands in double quotes")
        return str(word.value)

    def _pattern(self) -> str:
        word = self._pop("a pattern")
        if word.kind not in ("string", "regex"):
            raise Refused("a pattern stands between slashes or in double quotes")
        return str(word.value)

    def _name(self, expected: str) -> str:
        word = self._pop(expected)
        if word.kind != "name":
            raise Refused(f"{expected} is expected, not `{word.value}`")
        return str(word.value)

    def _pop(self, expected: str) -> Word:
        if not self._words:
            raise Refused(f"the line ends where {expected} is expected")
        return self._words.pop(0)


def _is_predicate(name: str) -> bool:
    return name in ("!=", "not", "notEquals", "endsWith", "matches") or name in COMPARISONS or name in TYPES


def _check_path(text: str) -> None:
    if "{{" not in text:
        try:
            path(text)
        except PathError as error:
            raise Refused(str(error)) from None
