"""A YAML file somebody wrote, read so that it can harm nobody, and able to point at every value in it.

`load` gives plain data with positions, or everything that is wrong with the file. `parse` goes on to a
model. Refuses to open files and to know any format: bytes come in, values or `Invalid` come out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from reconciler.model.composition import Composition, Spot
from reconciler.model.diagnosis import diagnose, in_order
from reconciler.model.position import HIDDEN, Origin, Path, Position, excerpt, is_confidential
from reconciler.model.problem import Problem
from reconciler.model.syntax import Fault

MAX_BYTES: Final = 256 * 1024
MAX_LINES: Final = 10_000

M = TypeVar("M", bound=BaseModel)


class Invalid(Exception):
    """What a person wrote cannot be used. Holds every problem that could be found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.place}: {problem.message}" for problem in self.problems[:3]))


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its data, and where everything in it stands."""

    file: str
    data: dict[str, Any]
    lines: tuple[str, ...]
    root: Spot

    def position(self, path: Path) -> Position:
        spot = self._walk(path)[0]
        return self._at(spot.line, spot.column, path)

    def key(self, path: Path) -> Position:
        parent, rest = self._walk(path[:-1])
        if path and not rest and isinstance(path[-1], str) and path[-1] in parent.keys:
            return self._at(*parent.keys[path[-1]], path)
        return self.position(path)

    def written(self, path: Path) -> str | None:
        spot, rest = self._walk(path)
        return None if rest else spot.written

    def holds(self, path: Path) -> bool:
        return not self._walk(path)[1]

    def _walk(self, path: Path) -> tuple[Spot, Path]:
        """The nearest spot on the way, and what is left of the way from there."""
        spot = self.root
        for passed, step in enumerate(path):
            child = _child(spot, step)
            if child is None:
                return spot, path[passed:]
            spot = child
        return spot, ()

    def _at(self, line: int, column: int, path: Path) -> Position:
        line = min(line, len(self.lines) - 1)
        return Position(line + 1, column + 1, excerpt(self.lines[line], confidential=is_confidential(path)), self.file)


def load(text: bytes, file: str) -> Document:
    """Read one file; raises `Invalid` with all that is wrong with its YAML."""
    decoded = _decode(text, file)
    composition = Composition(decoded)
    composition.read()
    lines = tuple(decoded.split("\n"))
    if composition.faults:
        raise Invalid(in_order(_problem(fault, file, lines) for fault in composition.faults))
    if not isinstance(composition.data, dict):
        fault = Fault(
            composition.root.line,
            composition.root.column,
            "not-a-mapping",
            f"{file.rpartition('/')[2]} must be one mapping; it is {_kind(composition.data)}",
            expected="lines of `name: value`",
            remedy="write at least `version: 1`",
        )
        raise Invalid([_problem(fault, file, lines)])
    return Document(file, composition.data, lines, composition.root)


def parse(model: type[M], text: bytes, file: str, service: str | None = None) -> M:
    """One file as a model; raises `Invalid` with every problem at its line."""
    document = load(text, file)
    return validate(model, document.data, document, service)


def validate(
    model: type[M],
    data: Mapping[str, Any],
    origin: Origin,
    service: str | None = None,
    *,
    context: Any = None,
) -> M:
    """Plain data as a model, where the positions are known by somebody: a document, a part of one, several merged."""
    try:
        return model.model_validate(data, context=context)
    except ValidationError as error:
        problems = diagnose(model, error, data, origin, service)
    raise Invalid(problems)


@dataclass(frozen=True, slots=True)
class Part:
    """A value inside another origin, so that a fragment can be validated as if it stood alone."""

    whole: Origin
    at: Path

    def position(self, path: Path) -> Position:
        return self.whole.position(self.at + path)

    def key(self, path: Path) -> Position:
        return self.whole.key(self.at + path)

    def written(self, path: Path) -> str | None:
        return self.whole.written(self.at + path)


def _child(spot: Spot, step: str | int) -> Spot | None:
    if isinstance(spot.children, dict):
        return spot.children.get(step) if isinstance(step, str) else None
    if isinstance(spot.children, list) and isinstance(step, int) and 0 <= step < len(spot.children):
        return spot.children[step]
    return None


def _decode(text: bytes, file: str) -> str:
    if len(text) > MAX_BYTES:
        message = f"this file has {len(text):,} bytes; {MAX_BYTES:,} are allowed"
        raise Invalid([_too_large(message, file)])
    if (lines := text.count(b"\n")) > MAX_LINES:
        raise Invalid([_too_large(f"this file has {lines:,} lines; {MAX_LINES:,} are allowed", file)])
    text = text.removeprefix(b"\xef\xbb\xbf")
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid([_not_utf8(text, error.start, file)]) from None
    decoded = decoded.replace("\r\n", "\n")
    if hidden := HIDDEN.search(decoded):
        raise Invalid([_hidden_character(decoded, hidden.start(), file)])
    return decoded


def _too_large(message: str, file: str) -> Problem:
    return Problem(message, "file-too-large", file=file, line=1, column=1, remedy="split it")


def _not_utf8(text: bytes, at: int, file: str) -> Problem:
    before = text[:at].decode("utf-8", "replace")
    line = text.split(b"\n")[before.count("\n")].decode("utf-8", "replace")
    return Problem(
        "this file is not UTF-8 text",
        "not-utf-8",
        file=file,
        line=before.count("\n") + 1,
        column=len(before) - before.rfind("\n"),
        excerpt=excerpt(line),
        remedy="save it as UTF-8",
    )


def _hidden_character(text: str, at: int, file: str) -> Problem:
    line = text.count("\n", 0, at)
    return Problem(
        f"a hidden character (U+{ord(text[at]):04X}) stands here",
        "hidden-character",
        file=file,
        line=line + 1,
        column=at - text.rfind("\n", 0, at),
        excerpt=excerpt(text.split("\n")[line]),
        remedy="remove it",
    )


def _problem(fault: Fault, file: str, lines: tuple[str, ...]) -> Problem:
    line = min(fault.line, len(lines) - 1)
    return Problem(
        fault.message,
        fault.code,
        file=file,
        line=line + 1,
        column=fault.column + 1,
        excerpt=excerpt(lines[line], confidential=fault.confidential),
        expected=fault.expected,
        remedy=fault.remedy,
    )


def _kind(data: object) -> str:
    if data is None:
        return "empty"
    return "a list" if isinstance(data, list) else "a single value"
