"""Ways through an OpenAPI document that strangers made: what is not what it should be is nothing, and says nothing."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Document: TypeAlias = Mapping[str, Any]
Node: TypeAlias = Mapping[str, Any]

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
DEEPEST: Final = 12
NOTHING: Final[Node] = {}


def behind(written: Any, document: Document) -> Node:
    """What a reference stands for; only within the same document, and not for ever."""
    node = node_of(written)
    for _ in range(DEEPEST):
        reference = node.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return node
        here: Any = document
        for part in reference[2:].split("/"):
            here = node_of(here).get(part.replace("~1", "/").replace("~0", "~"))
        node = node_of(here)
    return NOTHING


def node_of(value: Any) -> Node:
    return value if isinstance(value, Mapping) else NOTHING


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
