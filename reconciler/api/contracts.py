"""Many OpenAPI documents as one: the control plane's, and that of every service that has one.

Merging is deterministic: services in name order, their components renamed `{service}_{Name}`, their operation ids
prefixed with the service, their paths below where the service answers, and one tag for each. A document comes from
somebody's code and may be anything: what cannot be understood is left out and named, and harms nobody else's.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace", "query"})
NAMED = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "schemas", "responses", "headers"}
    | {
        "requestBodies",
        "securitySchemes",
        "links",
        "callbacks",
        "pathItems",
        "examples",
        "content",
        "encoding",
        "paths",
    }
)
"""Below these, keys are names that somebody chose, and no keywords."""
LITERAL = frozenset({"example", "default", "const", "enum", "value"})
"""Below these stands data, which may look like anything."""
COMPONENT = re.compile(r"#/components/([A-Za-z]+)/([^/]+)(.*)", re.S)
LARGEST = 1 << 20
DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Contract:
    service: str
    path: str
    """Where the service answers: `/api/tasks/`."""
    description: str | None
    document: Mapping[str, Any] | None


class Unreadable(Exception):
    pass


def merged(own: Mapping[str, Any], contracts: Iterable[Contract], services_at: str) -> dict[str, Any]:
    """`own` is the control plane's document; `services_at` is where the services' listener is reached."""
    whole: dict[str, Any] = json.loads(json.dumps(own))
    whole["info"] = {**whole["info"], "title": "reconciler and its services"}
    for path in whole["paths"].values():
        _take_tags_aside(path)
        path["servers"] = [{"url": "/"}]
    tags = {tag for path in whole["paths"].values() for method in METHODS & path.keys() for tag in path[method]["tags"]}
    whole["tags"] = [{"name": tag} for tag in sorted(tags)]
    for contract in sorted(contracts, key=lambda one: one.service):
        whole["tags"].append({"name": contract.service, "description": _add(whole, contract, services_at)})
    return whole


def _take_tags_aside(path: dict[str, Any]) -> None:
    """A service may be called `services`; none can be called with a colon."""
    for method in METHODS & path.keys():
        path[method]["tags"] = [f"control plane: {tag}" for tag in path[method].get("tags", ())]


def _add(whole: dict[str, Any], contract: Contract, services_at: str) -> str:
    """The answer describes the service's tag."""
    about = contract.description or ""
    if contract.document is None:
        return f"{about}\n\nThis service has no OpenAPI document.".strip()
    try:
        paths, components = _parts(contract, services_at)
    except Unreadable as error:
        return f"{about}\n\nIts OpenAPI document cannot be read: {error}.".strip()
    taken = sorted(paths.keys() & whole["paths"].keys())
    whole["paths"] |= {path: item for path, item in paths.items() if path not in taken}
    for kind, named in components.items():
        whole.setdefault("components", {}).setdefault(kind, {}).update(named)
    left_out = f"\n\nNot shown, since another API has the same path: {', '.join(taken)}" if taken else ""
    return (about + left_out).strip()


def _parts(contract: Contract, services_at: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    document = _sound(contract.document)
    if not str(document.get("openapi", "")).startswith("3."):
        raise Unreadable("it is not OpenAPI 3")
    service = contract.service
    server = [{"url": services_at or "/"}]
    everywhere = document.get("security")
    paths = {}
    for path, item in _mapping(document, "paths").items():
        if isinstance(item, dict) and path.startswith("/"):
            told = _renamed({**item, "servers": server}, service)
            paths[contract.path.rstrip("/") + path] = _operations(told, service, everywhere)
    components = {
        kind: {f"{service}_{name}": _renamed(each, service) for name, each in named.items()}
        for kind, named in _mapping(document, "components").items()
        if isinstance(named, dict)
    }
    return paths, components


def _sound(document: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of what can be written as JSON again, also as a part of something larger."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (ValueError, RecursionError):
        raise Unreadable("it holds what JSON cannot say") from None
    if size > LARGEST:
        raise Unreadable(f"it is larger than {LARGEST >> 20} MiB")
    copy: dict[str, Any] = json.loads(text)
    level: list[Any] = [copy]
    for _ in range(DEEPEST):
        level = [inner for node in level for inner in _inside(node)]
    if level:
        raise Unreadable(f"it is nested more than {DEEPEST} times")
    return copy


def _inside(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _operations(item: dict[str, Any], service: str, everywhere: Any) -> dict[str, Any]:
    for method in METHODS & item.keys():
        operation = item[method]
        if not isinstance(operation, dict):
            raise Unreadable(f"`{method}` is no operation")
        operation["tags"] = [service]
        operation.pop("servers", None)
        if isinstance(operation.get("operationId"), str):
            operation["operationId"] = f"{service}_{operation['operationId']}"
        asked = operation.get("security", everywhere)
        if isinstance(asked, list):
            operation["security"] = [_prefixed(one, service) for one in asked if isinstance(one, dict)]
    return item


def _renamed(node: Any, service: str, *, names: bool = False) -> Any:
    """The same with every reference to a component pointing at its new name."""
    if isinstance(node, list):
        return [_renamed(each, service) for each in node]
    if not isinstance(node, dict):
        return node
    told = {}
    for key, value in node.items():
        if names:
            told[key] = _renamed(value, service)
        elif key == "$ref" and isinstance(value, str):
            told[key] = _reference(value, service)
        elif key == "discriminator" and isinstance(value, dict):
            told[key] = _discriminator(value, service)
        elif key in LITERAL:
            told[key] = value
        else:
            told[key] = _renamed(value, service, names=key in NAMED)
    return told


def _reference(text: str, service: str) -> str:
    found = COMPONENT.fullmatch(text)
    return f"#/components/{found[1]}/{service}_{found[2]}{found[3]}" if found else text


def _discriminator(told: dict[str, Any], service: str) -> dict[str, Any]:
    """A mapping points by reference, or by the bare name of a schema."""
    mapping = told.get("mapping")
    if not isinstance(mapping, dict):
        return told
    ways = {name: _reference(way, service) if "/" in way else f"{service}_{way}" for name, way in mapping.items()}
    return {**told, "mapping": ways}


def _prefixed(named: dict[str, Any], service: str) -> dict[str, Any]:
    return {f"{service}_{name}": value for name, value in named.items()}


def _mapping(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = document.get(key, {})
    if not isinstance(found, dict):
        raise Unreadable(f"its `{key}` is no mapping")
    return found
