"""Which part of an answer an expectation or a capture is about.

The YAML format knows the first six kinds; the rest and the filters are there for imported `.hurl` files, so that
one player serves both.
"""

import hashlib
import re
import urllib.parse
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from reconciler.model.suite.answer import Answer, Unreadable
from reconciler.model.suite.jsonpath import path
from reconciler.model.suite.matcher import MISSING, Missing, Nodes, Text
from reconciler.model.suite.template import Reference, Scope, Template


@dataclass(frozen=True, slots=True)
class Filter:
    name: str
    argument: Any = None


@dataclass(frozen=True, slots=True)
class Subject:
    kind: str
    argument: Template | None = None
    """The header's name, the path, the variable: whatever the kind needs."""
    filters: tuple[Filter, ...] = ()
    listed: bool = False
    """Several nodes are one list, as Hurl sees it, rather than each for itself."""

    def look(self, answer: Answer, scope: Scope) -> object:
        """The value, or `MISSING`; raises `Unreadable` or `PathError` when it cannot be looked at."""
        value = LOOK[self.kind](answer, self._argument(scope), scope)
        if self.listed and isinstance(value, Nodes):
            value = list(value) if value else MISSING
        for step in self.filters:
            if isinstance(value, Missing):
                return value
            value = FILTERS[step.name](value, step.argument)
        return value

    def label(self, scope: Scope) -> str:
        words = [self.kind, self._argument(scope), *(step.name for step in self.filters)]
        return " ".join(word for word in words if word)

    def path(self, scope: Scope) -> str | None:
        return self._argument(scope) if self.kind == "json" else None

    @property
    def references(self) -> tuple[Reference, ...]:
        return self.argument.references if self.argument else ()

    def _argument(self, scope: Scope) -> str:
        return self.argument.text(scope) if self.argument is not None else ""


def _json(answer: Answer, argument: str, _scope: Scope) -> object:
    query = path(argument)
    found = query.find(answer.json)
    if not query.single:
        return Nodes(found)
    return found[0] if found else MISSING


def _whole_bytes(answer: Answer) -> bytes:
    if answer.size > len(answer.body):
        raise Unreadable("a body larger than what is kept")
    return answer.body


LOOK: Final[dict[str, Callable[[Answer, str, Scope], object]]] = {
    "status": lambda answer, _name, _scope: answer.status,
    "header": lambda answer, name, _scope: answer.header(name),
    "cookie": lambda answer, name, _scope: answer.cookie(name),
    "json": _json,
    "body": lambda answer, _name, _scope: Text(answer.text),
    "duration": lambda answer, _name, _scope: round(answer.seconds * 1000),
    "bytes": lambda answer, _name, _scope: answer.size,
    "sha256": lambda answer, _name, _scope: hashlib.sha256(_whole_bytes(answer)).hexdigest(),
    "md5": lambda answer, _name, _scope: hashlib.md5(_whole_bytes(answer), usedforsecurity=False).hexdigest(),
    "url": lambda answer, _name, _scope: answer.url,
    "variable": lambda _answer, name, scope: scope.get(name, MISSING),
}


def _number(convert: Callable[[Any], object]) -> Callable[[Any, Any], object]:
    def apply(value: Any, _argument: Any) -> object:
        try:
            return convert(value)
        except (TypeError, ValueError, OverflowError):
            return MISSING

    return apply


def _text(convert: Callable[[str, Any], object]) -> Callable[[Any, Any], object]:
    def apply(value: Any, argument: Any) -> object:
        try:
            return convert(value, argument) if isinstance(value, str) else MISSING
        except (ValueError, IndexError):
            return MISSING

    return apply


def _nth(value: Any, index: Any) -> object:
    if not isinstance(value, list) or not -len(value) <= index < len(value):
        return MISSING
    return value[index]


def _count(value: Any, _argument: Any) -> object:
    return len(value) if isinstance(value, (list, dict, str)) else MISSING


def _path(value: Any, argument: Any) -> object:
    query = path(argument)
    found = query.find(value)
    if query.single:
        return found[0] if found else MISSING
    return found or MISSING


FILTERS: Final[dict[str, Callable[[Any, Any], object]]] = {
    "count": _count,
    "first": lambda value, _argument: _nth(value, 0),
    "last": lambda value, _argument: _nth(value, -1),
    "nth": _nth,
    "toInt": _number(int),
    "toFloat": _number(float),
    "toString": lambda value, _argument: value if isinstance(value, str) else str(value).lower(),
    "split": _text(lambda value, separator: value.split(separator)),
    "replace": _text(lambda value, pair: value.replace(pair[0], pair[1])),
    "urlEncode": _text(lambda value, _argument: urllib.parse.quote(value, safe="")),
    "urlDecode": _text(lambda value, _argument: urllib.parse.unquote(value)),
    "base64Encode": _text(lambda value, _argument: b64encode(value.encode()).decode()),
    "base64Decode": _text(lambda value, _argument: b64decode(value, validate=True).decode("utf-8", "replace")),
    "htmlEscape": _text(lambda value, _argument: re.sub(r"[&<>\"']", lambda m: f"&#{ord(m.group())};", value)),
    "jsonpath": _path,
}
