"""What a release changes about a service's routes, from the two OpenAPI documents, and whether callers will notice.

Pure, and written for documents that strangers made: what is not what it should be says nothing. A change breaks
callers when a request that was fine is refused, or when an answer lacks what was promised. Refuses to guess:
where a document is silent, nothing is claimed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, TypeAlias

Document: TypeAlias = Mapping[str, Any]
Node: TypeAlias = Mapping[str, Any]

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
DEEPEST: Final = 12
DEEPEST_CHOICE: Final = 3
MOST_CHOICES: Final = 20
MOST_NOTES: Final = 20
NOTHING: Final[Node] = {}


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


@dataclass(frozen=True, slots=True)
class Note:
    text: str
    is_breaking: bool = False


Notes: TypeAlias = Iterator[Note]


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
        for written in (*self.shared, *_items(self.node.get("parameters"))):
            parameter = _behind(written, self.document)
            place, name = str(parameter.get("in")), str(parameter.get("name"))
            # A path's parameters are part of its shape, and may be called anything.
            if place != "path":
                found[place, name.lower() if place == "header" else name] = parameter
        return found

    def body(self) -> Node:
        return _behind(self.node.get("requestBody"), self.document)

    def answers(self) -> dict[str, Node]:
        """What it answers when all is well."""
        responses = _node(self.node.get("responses"))
        return {
            str(status): _behind(each, self.document) for status, each in responses.items() if str(status)[:1] == "2"
        }


def _operations(document: Document, prefix: str) -> dict[tuple[str, str], _Operation]:
    found = {}
    for path, item in _node(document.get("paths")).items():
        here = _behind(item, document)
        told = path.removeprefix(prefix) or "/" if isinstance(path, str) else ""
        for method in METHODS:
            if isinstance(here.get(method), Mapping):
                shared = tuple(_items(here.get("parameters")))
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
        yield from _sent(_Pair(old.document, new.document), was.get("schema"), now.get("schema"), told)


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
    before, after = _node(was.get("content")), _node(now.get("content"))
    for media in sorted(map(str, before)):
        if media not in after:
            yield Note(f"a body of {media} is not taken any more", True)
        else:
            yield from _sent(_Pair(old.document, new.document), _schema(before, media), _schema(after, media), "body")


def _answers(old: _Operation, new: _Operation) -> Notes:
    before, after = old.answers(), new.answers()
    for status in sorted(before.keys() - after.keys()):
        yield Note(f"it does not answer {status} any more", True)
    for status in sorted(after.keys() - before.keys()):
        yield Note(f"it may answer {status}")
    for status in sorted(before.keys() & after.keys()):
        was, now = _node(before[status].get("content")), _node(after[status].get("content"))
        for media in sorted(map(str, was)):
            if media not in now:
                yield Note(f"{status} has no {media} any more", True)
            else:
                pair = _Pair(old.document, new.document)
                yield from _received(pair, _schema(was, media), _schema(now, media), f"{status}")


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two documents, while two of their schemas are walked side by side."""

    old: Document
    new: Document
    depth: int = 0
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def both(self, was: Any, now: Any) -> tuple[Node, Node] | None:
        """The two schemas; None where they have been compared already, or lie too deep."""
        old, new = _behind(was, self.old), _behind(now, self.new)
        key = (id(old), id(new))
        if self.depth > DEEPEST or (key in self._seen and NOTHING not in (old, new)):
            return None
        self._seen.add(key)
        return old, new

    def deeper(self) -> "_Pair":
        return replace(self, depth=self.depth + 1)


def _sent(pair: _Pair, was: Any, now: Any, told: str) -> Notes:
    """What callers send: it may not be refused from now on."""
    if (both := pair.both(was, now)) is None:
        return
    old, new = both
    before, after = _types(old, pair.old), _types(new, pair.new)
    if after and not before <= after:
        yield Note(f"{told} must be {_listed(after)}, and could be {_listed(before - after)}", bool(before))
        return
    if before and after != before:
        yield Note(f"{told} may be {_listed(after - before)} as well")
    yield from _choices(new, old, told, "is not taken any more")
    for name in _gone(_object(old, pair.old), _object(new, pair.new)):
        yield Note(f"{told}: `{name}` is not read any more")
    yield from _sent_fields(pair, _object(old, pair.old), _object(new, pair.new), told)
    if _has(old, new, "items"):
        yield from _sent(pair.deeper(), old.get("items"), new.get("items"), f"{told}[]")


def _sent_fields(pair: _Pair, old: Node, new: Node, told: str) -> Notes:
    before, after = _node(old.get("properties")), _node(new.get("properties"))
    needed, was_needed = set(_names(new)), set(_names(old))
    for name in sorted(needed - was_needed):
        yield Note(f"{told}: `{name}` is required now", True)
    for name in sorted(map(str, after.keys() - before.keys())):
        if name not in needed and before:
            yield Note(f"{told}: `{name}` is new")
    for name in sorted(map(str, before.keys() & after.keys())):
        yield from _sent(pair.deeper(), before[name], after[name], f"{told}.{name}")


def _received(pair: _Pair, was: Any, now: Any, told: str) -> Notes:
    """What callers get: nothing they were promised may be missing."""
    if (both := pair.both(was, now)) is None:
        return
    old, new = both
    before, after = _types(old, pair.old), _types(new, pair.new)
    if before and not after <= before:
        yield Note(f"{told} may be {_listed(after - before)}, and was {_listed(before)}", True)
        return
    if before and not after:
        yield Note(f"{told} may be anything, and was {_listed(before)}", True)
        return
    if after != before:
        yield Note(f"{told} is {_listed(after)}")
    yield from _choices(old, new, told, "may come, and did not")
    yield from _received_fields(pair, _object(old, pair.old), _object(new, pair.new), told)
    if _has(old, new, "items"):
        yield from _received(pair.deeper(), old.get("items"), new.get("items"), f"{told}[]")


def _received_fields(pair: _Pair, old: Node, new: Node, told: str) -> Notes:
    before, after = _node(old.get("properties")), _node(new.get("properties"))
    for name in _gone(old, new):
        yield Note(f"{told}: `{name}` is gone", True)
    for name in sorted(map(str, after.keys() - before.keys())):
        yield Note(f"{told}: `{name}` is new")
    for name in sorted((set(_names(old)) - set(_names(new))) & set(after)):
        yield Note(f"{told}: `{name}` may be missing", True)
    for name in sorted(map(str, before.keys() & after.keys())):
        yield from _received(pair.deeper(), before[name], after[name], f"{told}.{name}")


def _choices(wide: Node, narrow: Node, told: str, said: str) -> Notes:
    """Values of an enumeration that one side has and the other has not."""
    allowed, used = wide.get("enum"), narrow.get("enum")
    if isinstance(allowed, list) and isinstance(used, list):
        more = [each for each in used if each not in allowed]
        if more:
            yield Note(f"{told}: {', '.join(f'`{each}`' for each in more[:5])} {said}", True)


def _types(node: Node, document: Document, depth: int = 0) -> frozenset[str]:
    """The JSON types a schema allows; none of them where it does not say."""
    written = node.get("type")
    found = {written} if isinstance(written, str) else {each for each in _items(written) if isinstance(each, str)}
    if node.get("nullable") is True and found:
        found.add("null")
    branches = [*_items(node.get("anyOf")), *_items(node.get("oneOf"))]
    if branches and depth >= DEEPEST_CHOICE:
        return frozenset()
    parts = [_types(_behind(branch, document), document, depth + 1) for branch in branches[:MOST_CHOICES]]
    if parts and all(parts):
        found |= frozenset().union(*parts)
    elif parts:
        return frozenset()
    if not found and isinstance(node.get("properties"), Mapping):
        found.add("object")
    return frozenset(found | ({"integer"} if "number" in found else set()))


def _object(node: Node, document: Document) -> Node:
    """The schema itself, or the one branch of it that has fields."""
    if "properties" in node:
        return node
    branches = [*_items(node.get("anyOf")), *_items(node.get("oneOf")), *_items(node.get("allOf"))]
    fitting = [found for branch in branches if "properties" in (found := _behind(branch, document))]
    return fitting[0] if len(fitting) == 1 else NOTHING


def _gone(old: Node, new: Node) -> list[str]:
    """Fields that are not there any more; a schema that lists none says nothing."""
    if "properties" not in old or "properties" not in new:
        return []
    return sorted(map(str, _node(old["properties"]).keys() - _node(new["properties"]).keys()))


def _has(old: Node, new: Node, name: str) -> bool:
    return isinstance(old.get(name), Mapping) and isinstance(new.get(name), Mapping)


def _schema(content: Node, media: str) -> Any:
    return _node(content.get(media)).get("schema")


def _names(node: Node) -> list[str]:
    return [each for each in _items(node.get("required")) if isinstance(each, str)]


def _behind(written: Any, document: Document) -> Node:
    """What a reference stands for; only within the same document, and not for ever."""
    node = _node(written)
    for _ in range(DEEPEST):
        reference = node.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return node
        here: Any = document
        for part in reference[2:].split("/"):
            here = _node(here).get(part.replace("~1", "/").replace("~0", "~"))
        node = _node(here)
    return NOTHING


def _node(value: Any) -> Node:
    return value if isinstance(value, Mapping) else NOTHING


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _listed(types: frozenset[str]) -> str:
    shown = types - {"integer"} if "number" in types else types
    return " or ".join(sorted(shown)) or "anything"
