"""One pass over the files of a service's suites: what has been found so far, and all that is wrong with it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reconciler.model.document import Document, Invalid, load
from reconciler.model.names import ServiceName
from reconciler.model.position import Position, excerpt
from reconciler.model.problem import Problem
from reconciler.model.suite.case import Budget, Case
from reconciler.model.suite.format import SuiteWritten
from reconciler.model.suite.schema import Schema, SchemaError
from reconciler.model.suite.template import Template
from reconciler.suite.files import LARGEST, Files


@dataclass(slots=True)
class Fragment:
    """What one file contributes, before it is put where it was included."""

    vars: dict[str, Template] = field(default_factory=dict)
    setup: list[Case] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    teardown: list[Case] = field(default_factory=list)
    budget: Budget = field(default_factory=Budget)

    def __len__(self) -> int:
        return len(self.setup) + len(self.cases) + len(self.teardown)


@dataclass(slots=True)
class Reading:
    service: ServiceName
    files: Files
    problems: list[Problem] = field(default_factory=list)
    includes: int = 0
    """Files put in place so far, each as often as it was."""
    _schemas: dict[str, Schema | None] = field(default_factory=dict)
    _read: dict[str, tuple[SuiteWritten, Document]] = field(default_factory=dict)

    def refuse(
        self, code: str, message: str, at: Position, *, expected: str | None = None, remedy: str | None = None
    ) -> None:
        self.problems.append(
            Problem(message, code, self.service, at.file, at.line, at.column, at.excerpt, expected, remedy)
        )

    def once(self, name: str, read: Callable[[], tuple[SuiteWritten, Document]]) -> tuple[SuiteWritten, Document]:
        """A file that is included many times is read once."""
        if name not in self._read:
            self._read[name] = read()
        return self._read[name]

    def find(self, reference: str, at: Position) -> str | None:
        """The file somebody names, or a problem at the place that names it."""
        name = self.files.find(reference, at.file)
        if name is None:
            self.refuse(
                "missing-file",
                f"there is no file `{reference[:120]}` in the service's folder or its watched paths",
                at,
                remedy="name it relative to this file; to share files between services, add them to `watch`",
            )
        return name

    def content(self, reference: str, at: Position) -> bytes | None:
        name = self.find(reference, at)
        content = self.files.read(name) if name is not None else None
        if content is not None and len(content) > LARGEST:
            self.refuse("file-too-large", f"`{reference[:120]}` is larger than {LARGEST >> 20} MiB", at)
            return None
        return content

    def schema(self, reference: str, at: Position) -> Schema | None:
        """A compiled JSON Schema, each file compiled once."""
        name = self.find(reference, at)
        if name is None:
            return None
        if name not in self._schemas:
            self._schemas[name] = self._compiled(name, at)
        return self._schemas[name]

    def pinpoint(self, place: Position, words: tuple[str, ...]) -> Position:
        """The first line from a case onwards that holds one of the words."""
        lines = self.files.read(place.file).decode("utf-8", "replace").split("\n")
        for number, line in enumerate(lines[place.line - 1 :], start=place.line):
            if column := min((line.find(word) + 1 for word in words if word in line), default=0):
                return Position(number, column, excerpt(line), place.file)
        return place

    def _compiled(self, name: str, at: Position) -> Schema | None:
        try:
            return Schema(self._document(name), self.files.shown(name), self._retrieve)
        except SchemaError as error:
            self.refuse("bad-schema", str(error), at)
        except Invalid as invalid:
            self.problems.extend(invalid.problems)
        except ValueError as error:
            self.refuse("bad-schema", f"`{name}` is not JSON: {error}", at)
        return None

    def _retrieve(self, path: str) -> object:
        name = self.files.find(path, f"{self.files.folder}/")
        if name is None:
            raise LookupError(f"there is no file `{path}` in the service's folder or its watched paths")
        return self._document(name)

    def _document(self, name: str) -> object:
        content = self.files.read(name)
        if name.endswith((".yaml", ".yml")):
            return load(content, name).data
        try:
            return json.loads(content[: LARGEST + 1])
        except RecursionError:
            raise ValueError("nested too deeply") from None


def merged(below: Mapping[str, Template], above: Mapping[str, Template]) -> dict[str, Template]:
    return {**below, **above}
