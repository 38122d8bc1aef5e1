"""GitHub's published description of its API, to hold requests and answers against."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema_rs

from tests.npm import package


@dataclass(frozen=True)
class Operation:
    template: str
    pattern: re.Pattern[str]
    described: dict[str, Any]

    def check_request(self, body: Any) -> str | None:
        """Why GitHub would not understand it."""
        content = self.described.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return None
        return _fault(content["schema"], body)

    def check_answer(self, status: int, body: Any) -> str | None:
        response = resolved(self.described["responses"].get(str(status), {}))
        content = response.get("content", {}).get("application/json")
        return _fault(content["schema"], body) if content else None


@cache
def operations() -> dict[str, tuple[Operation, ...]]:
    """By method."""
    found: dict[str, list[Operation]] = {}
    for template, item in _document()["paths"].items():
        pattern = re.compile(re.sub(r"\\\{[^}]*\\\}", "([^/]+)", re.escape(template)))
        for method, described in item.items():
            found.setdefault(method.upper(), []).append(Operation(template, pattern, described))
    return {method: tuple(each) for method, each in found.items()}


def operation(method: str, path: str) -> Operation | None:
    fitting = (each for each in operations().get(method, ()) if each.pattern.fullmatch(path))
    return min(fitting, key=lambda each: each.template.count("{"), default=None)


def part_of_description(beginnings: tuple[str, ...]) -> dict[str, Any]:
    """Paths that begin so, with all that they refer to: the whole takes a reader long."""
    whole = _document()
    part = {name: whole[name] for name in ("openapi", "info", "servers")}
    part["paths"] = {path: item for path, item in whole["paths"].items() if path.startswith(beginnings)}
    for reference, node in _reached(part["paths"], lambda wanted: resolved({"$ref": wanted})).items():
        _, kind, name = reference.removeprefix("#/").split("/")
        part.setdefault("components", {}).setdefault(kind, {})[name] = node
    return part


def _reached(start: Any, look_up: Callable[[str], Any]) -> dict[str, Any]:
    """All that is referred to from here, and from there."""
    found: dict[str, Any] = {}
    unread = [start]
    while unread:
        for reference in _references(unread.pop()):
            if reference not in found:
                found[reference] = look_up(reference)
                unread.append(found[reference])
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from _references(each)
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)


@cache
def _document() -> dict[str, Any]:
    file = package("@octokit/openapi", "23.0.2") / "generated" / "api.github.com.json"
    read: dict[str, Any] = json.loads(file.read_text())
    return read


@cache
def _schema(name: str) -> Any:
    """In today's JSON Schema, where null is a type like any other."""
    return _modern(_document()["components"]["schemas"][name])


def _fault(schema: dict[str, Any], body: Any) -> str | None:
    error = next(iter(_validator(json.dumps(schema)).iter_errors(body)), None)
    return f"{'/'.join(map(str, error.instance_path))}: {error.message}" if error is not None else None


@cache
def _validator(schema: str) -> jsonschema_rs.Validator:
    """With what it refers to. With all that GitHub describes it would take a client's patience to make one."""
    modern = _modern(json.loads(schema))
    reached = _reached(modern, lambda wanted: _schema(_name(wanted)))
    needed = {_name(reference): node for reference, node in reached.items()}
    return jsonschema_rs.validator_for({**modern, "components": {"schemas": needed}})


def _name(reference: str) -> str:
    return reference.removeprefix("#/components/schemas/")


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    if reference is None:
        return node
    for part in reference.removeprefix("#/").split("/"):
        node = _document()[part] if part == "components" else node[part]
    return node


def _modern(node: Any) -> Any:
    if isinstance(node, list):
        return [_modern(each) for each in node]
    if not isinstance(node, dict):
        return node
    # What is named like a keyword may be a property; those are dictionaries.
    read = {name: _modern(each) for name, each in node.items() if not (name == "nullable" and each is True)}
    if node.get("nullable") is True:
        if isinstance(read.get("type"), str):
            read["type"] = [read["type"], "null"]
            if "enum" in read:
                read["enum"] = [*read["enum"], None]
        else:
            read = {"anyOf": [read, {"type": "null"}]}
    return read
