"""What differs between two JSON schemas, and whether callers will notice.

What they send may not be refused from now on; of what they get, nothing that was promised may be missing. Refuses to
guess: where a schema is silent, nothing is claimed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from reconciler.model.openapi import DEEPEST, NOTHING, Document, Node, behind, items, node_of

DEEPEST_CHOICE: Final = 3
MOST_CHOICES: Final = 20


@dataclass(frozen=True, slots=True)
class Note:
    text: str
    is_breaking: bool = False


Notes: TypeAlias = Iterator[Note]


@dataclass(frozen=True, slots=True)
class Pair:
    """The two documents, while two of their schemas are walked side by side."""

    old: Document
    new: Document
    depth: int = 0
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def both(self, was: Any, now: Any) -> tuple[Node, Node] | None:
        """The two schemas; None where they have been compared already, or lie too deep."""
        old, new = behind(was, self.old), behind(now, self.new)
        key = (id(old), id(new))
        if self.depth > DEEPEST or (key in self._seen and NOTHING not in (old, new)):
            return None
        self._seen.add(key)
        return old, new

    def deeper(self) -> "Pair":
        return replace(self, depth=self.depth + 1)


def sent(pair: Pair, was: Any, now: Any, told: str) -> Notes:
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
        yield from sent(pair.deeper(), old.get("items"), new.get("items"), f"{told}[]")


def _sent_fields(pair: Pair, old: Node, new: Node, told: str) -> Notes:
    before, after = node_of(old.get("properties")), node_of(new.get("properties"))
    needed, was_needed = set(_names(new)), set(_names(old))
    for name in sorted(needed - was_needed):
        yield Note(f"{told}: `{name}` is required now", True)
    for name in sorted(map(str, after.keys() - before.keys())):
        if name not in needed and before:
            yield Note(f"{told}: `{name}` is new")
    for name in sorted(map(str, before.keys() & after.keys())):
        yield from sent(pair.deeper(), before[name], after[name], f"{told}.{name}")


def received(pair: Pair, was: Any, now: Any, told: str) -> Notes:
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
        yield from received(pair.deeper(), old.get("items"), new.get("items"), f"{told}[]")


def _received_fields(pair: Pair, old: Node, new: Node, told: str) -> Notes:
    before, after = node_of(old.get("properties")), node_of(new.get("properties"))
    for name in _gone(old, new):
        yield Note(f"{told}: `{name}` is gone", True)
    for name in sorted(map(str, after.keys() - before.keys())):
        yield Note(f"{told}: `{name}` is new")
    for name in sorted((set(_names(old)) - set(_names(new))) & set(after)):
        yield Note(f"{told}: `{name}` may be missing", True)
    for name in sorted(map(str, before.keys() & after.keys())):
        yield from received(pair.deeper(), before[name], after[name], f"{told}.{name}")


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
    found = {written} if isinstance(written, str) else {each for each in items(written) if isinstance(each, str)}
    if node.get("nullable") is True and found:
        found.add("null")
    branches = [*items(node.get("anyOf")), *items(node.get("oneOf"))]
    if branches and depth >= DEEPEST_CHOICE:
        return frozenset()
    parts = [_types(behind(branch, document), document, depth + 1) for branch in branches[:MOST_CHOICES]]
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
    branches = [*items(node.get("anyOf")), *items(node.get("oneOf")), *items(node.get("allOf"))]
    fitting = [found for branch in branches if "properties" in (found := behind(branch, document))]
    return fitting[0] if len(fitting) == 1 else NOTHING


def _gone(old: Node, new: Node) -> list[str]:
    """Fields that are not there any more; a schema that lists none says nothing."""
    if "properties" not in old or "properties" not in new:
        return []
    return sorted(map(str, node_of(old["properties"]).keys() - node_of(new["properties"]).keys()))


def _has(old: Node, new: Node, name: str) -> bool:
    return isinstance(old.get(name), Mapping) and isinstance(new.get(name), Mapping)


def _names(node: Node) -> list[str]:
    return [each for each in items(node.get("required")) if isinstance(each, str)]


def _listed(types: frozenset[str]) -> str:
    shown = types - {"integer"} if "number" in types else types
    return " or ".join(sorted(shown)) or "anything"
