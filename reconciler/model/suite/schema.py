"""JSON Schemas, compiled once, that reach nothing outside what they were given.

A `$ref` finds another file of the same service or nothing: no network, no file system. Patterns have a limit
on backtracking, and a schema whose references multiply beyond all use is refused, since the validator would
follow every one of them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import jsonschema_rs

Retrieve: TypeAlias = Callable[[str], object]
"""The document a `$ref` to another file means; raises `LookupError` where there is none."""

MAX_STEPS: Final = 20_000
MAX_FAULTS: Final = 5
ROOT: Final = "suite:///"
"""Where files of a service live for the validator, so that relative references stay among them."""
PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000, size_limit=1 << 20, dfa_size_limit=1 << 21)


class SchemaError(ValueError):
    """Not a schema that can be used; says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    path: str
    """JSONPath of the value that does not fit."""
    message: str


class Schema:
    """`name` is what people are told: the path of its file, or the operation of an OpenAPI document."""

    __slots__ = ("_validator", "name")

    def __init__(self, document: object, name: str, retrieve: Retrieve | None = None) -> None:
        if not isinstance(document, (dict, bool)):
            raise SchemaError(f"{name} holds no JSON Schema: a schema is an object")
        _weigh(document, name)
        self.name = name
        self._validator = _compile(document, name, retrieve or _nothing)

    def faults(self, instance: object) -> Iterator[Fault]:
        try:
            if self._validator.is_valid(instance):
                return
            for count, error in enumerate(self._validator.iter_errors(instance)):
                if count == MAX_FAULTS:
                    return
                yield Fault(json_path(error.instance_path), error.message)
        except ValueError as error:  # deeper than the validator goes
            yield Fault("$", str(error))


def _compile(document: dict[str, Any] | bool, name: str, retrieve: Retrieve) -> Any:
    def fetch(uri: str) -> Any:
        if not uri.startswith(ROOT):
            raise LookupError(f"`{uri}` lies outside the service; a schema refers to files of its own service only")
        other = retrieve(uri.removeprefix(ROOT))
        _weigh(other, uri.removeprefix(ROOT))
        return other

    try:
        return jsonschema_rs.validator_for(
            document, retriever=fetch, base_uri=ROOT + name, pattern_options=PATTERNS, validate_formats=True
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, LookupError) as error:
        raise SchemaError(f"{name} is not a JSON Schema that can be used: {_cut(_first_line(error))}") from None


def _nothing(path: str) -> object:
    raise LookupError(f"there is no file `{path}`")


def _weigh(document: object, name: str) -> None:
    """Count the steps a validator may take, references followed, each as often as it is reached."""
    try:
        steps = _Weight(document).whole
    except RecursionError:
        raise SchemaError(f"{name} is nested too deeply") from None
    if steps > MAX_STEPS:
        raise SchemaError(f"the references in {name} multiply to more than {MAX_STEPS:,} steps")


SHELVES: Final = ("$defs", "definitions", "components", "paths")
"""Where a document keeps what counts only when something refers to it."""


class _Weight:
    def __init__(self, document: object) -> None:
        self._document = document
        self._known: dict[str, int] = {}

    @property
    def whole(self) -> int:
        if isinstance(self._document, Mapping):
            return self._of({key: item for key, item in self._document.items() if key not in SHELVES})
        return 0

    def _of(self, node: object) -> int:
        if isinstance(node, Mapping):
            target = node.get("$ref")
            behind = self._behind(target) if isinstance(target, str) else 0
            return 1 + behind + sum(self._of(item) for item in node.values())
        if isinstance(node, list):
            return sum(self._of(item) for item in node)
        return 0

    def _behind(self, pointer: str) -> int:
        if pointer not in self._known:
            self._known[pointer] = 0  # on the way back to itself it costs nothing more
            self._known[pointer] = min(self._of(_point(self._document, pointer)), MAX_STEPS + 1)
        return self._known[pointer]


def _point(document: object, pointer: str) -> object:
    if pointer == "#":
        return document
    node = document
    for step in pointer.removeprefix("#/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        else:
            return None
    return node


def json_path(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else _member(step) for step in steps)


def _member(name: str) -> str:
    return f".{name}" if name.isidentifier() else "['" + name.replace("\\", "\\\\").replace("'", "\\'") + "']"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _cut(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
