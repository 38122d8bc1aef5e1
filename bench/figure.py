"""One figure: what was measured, what it should be, and whether it is."""

import statistics
from collections.abc import Sequence
from typing import TypedDict


class Figure(TypedDict):
    name: str
    value: float
    unit: str
    goal: str
    ok: bool


def at_least(name: str, value: float, goal: float, unit: str = "×", *, noise: float = 0.0) -> Figure:
    wanted = f"≥ {goal:g}" + (f" (noise {noise:g})" if noise else "")
    return Figure(name=name, value=_rounded(value), unit=unit, goal=wanted, ok=value >= goal - noise)


def at_most(name: str, value: float, goal: float, unit: str = "×") -> Figure:
    return Figure(name=name, value=_rounded(value), unit=unit, goal=f"≤ {goal:g}", ok=value <= goal)


def told(name: str, value: float, unit: str) -> Figure:
    """A figure without a goal, for whoever wants to know what lies behind a ratio."""
    return Figure(name=name, value=_rounded(value), unit=unit, goal="", ok=True)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the pairs' ratios: each pair was measured at nearly the same time."""
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def _rounded(value: float) -> float:
    return round(value, 3) if abs(value) < 100 else round(value, 1)
