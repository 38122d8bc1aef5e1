"""Mappings laid over one another, each value still knowing the file it came from.

Mappings merge, everything else replaces; an empty value (`sleep:`) takes back what a lower layer said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.model.position import Origin, Path, Position, steps


@dataclass(frozen=True, slots=True)
class Layer:
    data: Mapping[str, Any]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Layers:
    """The uppermost first. The last is never empty-handed: it answers for what no layer holds."""

    layers: Sequence[Layer]
    home: Origin
    """Where something that nobody wrote should have been written."""

    def merged(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for layer in reversed(self.layers):
            result = _over(layer.data, result)
        return result

    def position(self, path: Path) -> Position:
        return self._source(path).position(path)

    def key(self, path: Path) -> Position:
        return self._source(path).key(path)

    def written(self, path: Path) -> str | None:
        return self._source(path).written(path)

    def _source(self, path: Path) -> Origin:
        """Who supplied the value at this path, or what is nearest above it."""
        holding: list[tuple[Any, Origin]] = [(layer.data, layer.origin) for layer in self.layers]
        source = self.home
        for step in path:
            holding = _below(holding, step)
            if not holding:
                return source
            source = holding[0][1]
        return source


def _below(holding: list[tuple[Any, Origin]], step: str | int) -> list[tuple[Any, Origin]]:
    found: list[tuple[Any, Origin]] = []
    for value, origin in holding:
        if step in steps(value):
            found.append((value[step], origin))
        if found and not isinstance(found[-1][0], Mapping):
            return found if len(found) == 1 else found[:-1]
    return found


def _over(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(lower)
    for name, value in upper.items():
        under = result.get(name)
        if value is None and under is not None:
            del result[name]
        elif isinstance(value, Mapping) and isinstance(under, Mapping):
            result[name] = _over(value, under)
        else:
            result[name] = value
    return result
