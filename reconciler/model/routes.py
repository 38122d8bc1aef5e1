"""What a release changes about a service's routes, from the two OpenAPI documents, and whether callers will notice.

Pure, and written for documents that strangers made: what is not what it should be says nothing. A change breaks
callers when a request that was fine is refused, or when an answer lacks what was promised. Refuses to guess:
where a document is silent, nothing is claimed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from reconciler.model.openapi import METHODS, Document, Node, behind, items, node_of
from reconciler.model.schema_change import Note, Notes, Pair, received, sent

MOST_NOTES: Final = 20


class Kind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class RouteChange:
    method: str
    path: str
    """As the newer document writes it; the older one where the route is gone."""
    kind: Kind
    breaks: tuple[str, ...] = ()
    """Why callers will notice; empty when they will not."""
    notes: tuple[str, ...] = ()
    """What else is different."""

    @property
    def is_breaking(self) -> bool:
        return bool(self.breaks)


def compare(old: Document, new: Document, prefix: str = "") -> tuple[RouteChange, ...]:
    """Every route that is not what it was, by path and method. The prefix is left out of what is told."""
    before, after = _operations(old, prefix), _operations(new, prefix)
    changes = (_change(key, before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys()))
    return tuple(change for change in changes if change is not None)


@dataclass(frozen=True, slots=True)
class _Operation:
    document: Document
    method: str
    path: str
    node: Node
    shared: tuple[Any, ...]
    """Parameters that the whole path has."""

    def parameters(self) -> dict[tuple[str, str], Node]:
        """By place and name; a header's name is the same in any case."""
        found = {}
        for written in (*self.shared, *items(self.node.get("parameters"))):
            parameter = behind(written, self.document)
            place, name = str(parameter.get("in")), str(parameter.get("name"))
            # A path's parameters are part of its shape, and may be called anything.
            if place != "path":
                found[place, name.lower() if place == "header" else name] = parameter
        return found

    def body(self) -> Node:
        return behind(self.node.get("requestBody"), self.document)

    def answers(self) -> dict[str, Node]:
        """What it answers when all is well."""
        responses = node_of(self.node.get("responses"))
        return {
            str(status): behind(each, self.document) for status, each in responses.items() if str(status)[:1] == "2"
        }


def _operations(document: Document, prefix: str) -> dict[tuple[str, str], _Operation]:
    found = {}
    for path, item in node_of(document.get("paths")).items():
        here = behind(item, document)
        told = path.removeprefix(prefix) or "/" if isinstance(path, str) else ""
        for method in METHODS:
            if isinstance(here.get(method), Mapping):
                shared = tuple(items(here.get("parameters")))
                found[_shape(told), method] = _Operation(document, method.upper(), told, here[method], shared)
    return found


def _shape(path: str) -> str:
    """A path without the names of its parameters, which callers never see."""
    return "/".join("{}" if part.startswith("{") and part.endswith("}") else part for part in path.split("/"))


def _change(key: tuple[str, str], old: _Operation | None, new: _Operation | None) -> RouteChange | None:
    if old is None:
        return RouteChange(new.method, new.path, Kind.ADDED) if new is not None else None
    if new is None:
        return RouteChange(old.method, old.path, Kind.REMOVED, ("it is gone",))
    notes = list(dict.fromkeys((*_parameters(old, new), *_body(old, new), *_answers(old, new))))[:MOST_NOTES]
    if not notes:
        return None
    breaks = tuple(note.text for note in notes if note.is_breaking)
    return RouteChange(
        new.method, new.path, Kind.CHANGED, breaks, tuple(note.text for note in notes if not note.is_breaking)
    )


def _parameters(old: _Operation, new: _Operation) -> Notes:
    before, after = old.parameters(), new.parameters()
    for key in sorted(before.keys() | after.keys()):
        told = f"{key[0]} parameter `{key[1]}`"
        was, now = before.get(key), after.get(key)
        if now is None:
            yield Note(f"{told} is gone")
            continue
        required = now.get("required") is True
        if was is None:
            yield Note(f"{told} is new and required" if required else f"{told} is new", required)
            continue
        if required and was.get("required") is not True:
            yield Note(f"{told} is required now", True)
        yield from sent(Pair(old.document, new.document), was.get("schema"), now.get("schema"), told)


def _body(old: _Operation, new: _Operation) -> Notes:
    was, now = old.body(), new.body()
    if not now:
        if was:
            yield Note("the request has no body any more")
        return
    if now.get("required") is True and was.get("required") is not True:
        yield Note("a request body is required now", True)
    elif not was:
        yield Note("a request body may be sent")
    before, after = node_of(was.get("content")), node_of(now.get("content"))
    for media in sorted(map(str, before)):
        if media not in after:
            yield Note(f"a body of {media} is not taken any more", True)
        else:
            yield from sent(Pair(old.document, new.document), _schema(before, media), _schema(after, media), "body")


def _answers(old: _Operation, new: _Operation) -> Notes:
    before, after = old.answers(), new.answers()
    for status in sorted(before.keys() - after.keys()):
        yield Note(f"it does not answer {status} any more", True)
    for status in sorted(after.keys() - before.keys()):
        yield Note(f"it may answer {status}")
    for status in sorted(before.keys() & after.keys()):
        was, now = node_of(before[status].get("content")), node_of(after[status].get("content"))
        for media in sorted(map(str, was)):
            if media not in now:
                yield Note(f"{status} has no {media} any more", True)
            else:
                pair = Pair(old.document, new.document)
                yield from received(pair, _schema(was, media), _schema(now, media), f"{status}")


def _schema(content: Node, media: str) -> Any:
    return node_of(content.get(media)).get("schema")
