"""`${…}`: a place in a suite that is filled in while it is played.

A value that is nothing but one reference keeps the type of what it refers to; inside a longer text it is
written as text. There are no expressions, no functions and no defaults: a suite that needs to compute is a
pytest file. `$${` stands for a literal `${`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Scope: TypeAlias = Mapping[str, object]
Fill: TypeAlias = Callable[[Scope], object]

MARK = re.compile(r"\$\$\{|\$\{([^{}]*)\}?")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
DEPTH = 64
"""How deep a body may be nested; JSON that is deeper is nobody's request."""


class TemplateError(ValueError):
    """A `${…}` that can never be filled in, as it is written."""


class Undefined(LookupError):
    """A reference to something that is not there (any more, or yet)."""

    def __init__(self, name: str, missing: str | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.missing = missing

    def __str__(self) -> str:
        if self.missing is None:
            return f"${{{self.name}}} is not defined"
        return f"${{{self.name}}}: there is no `{self.missing}` in it"


@dataclass(frozen=True, slots=True)
class Reference:
    name: str
    """The variable: what stands before the first dot."""
    steps: tuple[str, ...] = ()
    """Members and positions to walk into it."""

    @classmethod
    def read(cls, text: str) -> "Reference":
        name, *steps = text.strip().split(".")
        if not NAME.fullmatch(name) or not all(steps):
            raise TemplateError(
                f"`${{{text}}}` is not a reference: a variable, then members or positions after dots, like `user.id`"
            )
        return cls(name, tuple(steps))

    @property
    def text(self) -> str:
        return ".".join((self.name, *self.steps))

    def resolve(self, scope: Scope) -> object:
        if self.name not in scope:
            raise Undefined(self.text)
        value = scope[self.name]
        for step in self.steps:
            value = self._walk(value, step)
        return value() if callable(value) else value

    def _walk(self, value: object, step: str) -> object:
        if isinstance(value, Mapping) and step in value:
            return value[step]
        if isinstance(value, (list, tuple)) and step.isdigit() and int(step) < len(value):
            return value[int(step)]
        raise Undefined(self.text, step)


@dataclass(frozen=True, slots=True)
class Template:
    """Any plain value with references anywhere in it, read once and filled in many times."""

    value: object
    """As it was written."""
    references: tuple[Reference, ...] = ()
    _fill: Fill | None = field(default=None, repr=False, compare=False)

    @property
    def constant(self) -> bool:
        return self._fill is None

    def render(self, scope: Scope) -> object:
        return self.value if self._fill is None else self._fill(scope)

    def text(self, scope: Scope) -> str:
        return as_text(self.render(scope))


def template(value: object) -> Template:
    """Read a value; raises `TemplateError` for a reference that is malformed."""
    found: list[Reference] = []
    fill, plain = _compile(value, found, DEPTH)
    return Template(plain if fill is None else value, tuple(found), fill)


def as_text(value: object) -> str:
    """How a value is written inside a text: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def literal(text: str) -> str:
    """Protect a text that must not be read as a template."""
    return text.replace("${", "$${")


def _compile(value: object, found: list[Reference], depth: int) -> tuple[Fill | None, object]:
    """What fills the value in (None where nothing has to be) and the value itself, marks unescaped."""
    if isinstance(value, str):
        return _compile_text(value, found)
    if depth == 0:
        raise TemplateError(f"nested more than {DEPTH} deep")
    if isinstance(value, Mapping):
        return _compile_mapping(value, found, depth)
    if isinstance(value, (list, tuple)):
        return _compile_list(value, found, depth)
    return None, value


def _compile_text(text: str, found: list[Reference]) -> tuple[Fill | None, object]:
    if "${" not in text:
        return None, text
    parts = tuple(_parts(text))
    found.extend(part for part in parts if isinstance(part, Reference))
    if len(parts) == 1 and isinstance(parts[0], Reference):
        return parts[0].resolve, text
    if not any(isinstance(part, Reference) for part in parts):
        return None, "".join(part for part in parts if isinstance(part, str))
    return _joined(parts), text


def _joined(parts: tuple[str | Reference, ...]) -> Fill:
    def fill(scope: Scope) -> str:
        return "".join(part if isinstance(part, str) else as_text(part.resolve(scope)) for part in parts)

    return fill


def _parts(text: str) -> Iterator[str | Reference]:
    at = 0
    for mark in MARK.finditer(text):
        if mark.start() > at:
            yield text[at : mark.start()]
        at = mark.end()
        if mark.group() == "$${":
            yield "${"
        elif not mark.group().endswith("}"):
            raise TemplateError(f"`{mark.group()}` is not closed with `}}`; a literal one is written `$${{`")
        else:
            yield Reference.read(mark.group(1))
    if at < len(text):
        yield text[at:]


def _compile_mapping(
    value: Mapping[object, object], found: list[Reference], depth: int
) -> tuple[Fill | None, dict[object, object]]:
    pairs = [(_compile(key, found, depth - 1), _compile(item, found, depth - 1)) for key, item in value.items()]
    if all(key[0] is None and item[0] is None for key, item in pairs):
        return None, {key[1]: item[1] for key, item in pairs}

    def fill(scope: Scope) -> dict[object, object]:
        return {_filled(key, scope): _filled(item, scope) for key, item in pairs}

    return fill, {}


def _compile_list(
    value: list[object] | tuple[object, ...], found: list[Reference], depth: int
) -> tuple[Fill | None, list[object]]:
    items = [_compile(item, found, depth - 1) for item in value]
    if all(item[0] is None for item in items):
        return None, [item[1] for item in items]

    def fill(scope: Scope) -> list[object]:
        return [_filled(item, scope) for item in items]

    return fill, []


def _filled(compiled: tuple[Fill | None, object], scope: Scope) -> object:
    fill, value = compiled
    return value if fill is None else fill(scope)
