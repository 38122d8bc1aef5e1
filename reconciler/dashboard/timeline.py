"""Phases drawn on one scale of time: where each begins, and how wide it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.model.status import PhaseTime

WIDTH = 1000
"""In the drawing's own units."""
THINNEST = 4
MOST = 400
"""A sync of thousands of services is told by its longest phases."""


@dataclass(frozen=True, slots=True)
class Bar:
    phase: PhaseTime
    begin: float
    width: float


@dataclass(frozen=True, slots=True)
class Timeline:
    seconds: float
    bars: Sequence[Bar]
    left_out: int = 0


def timeline(phases: Sequence[PhaseTime]) -> Timeline | None:
    """None where nothing was measured. A clock that was set back between two phases makes none of them negative."""
    if not phases:
        return None
    kept = sorted(sorted(phases, key=lambda one: -one.seconds)[:MOST], key=lambda one: one.started_at)
    start = min(one.started_at for one in kept)
    after = [max(0.0, (one.started_at - start).total_seconds()) for one in kept]
    whole = max(begin + max(0.0, one.seconds) for begin, one in zip(after, kept, strict=True)) or 1e-3
    bars = [_bar(one, begin, WIDTH / whole) for begin, one in zip(after, kept, strict=True)]
    return Timeline(whole, bars, len(phases) - len(kept))


def _bar(phase: PhaseTime, begin: float, scale: float) -> Bar:
    width = max(THINNEST, max(0.0, phase.seconds) * scale)
    return Bar(phase, round(min(begin * scale, WIDTH - width), 1), round(width, 1))
