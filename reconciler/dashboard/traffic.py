"""How much a service is asked, in a few characters and a small line.

The line says nothing that is not also said in words beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.model.status import TrafficStatus

STEP = 2
HEIGHT = 18
"""In the drawing's own units."""


@dataclass(frozen=True, slots=True)
class Spark:
    width: int
    requests: str
    """A polygon's points: what was answered, minute by minute."""
    errors: str
    """The share of it that failed; empty where nothing did."""


def spark(traffic: TrafficStatus) -> Spark | None:
    """None where nobody asked."""
    most = max(traffic.requests_by_minute, default=0)
    if not most:
        return None
    width = STEP * (len(traffic.requests_by_minute) - 1)
    errors = _area(traffic.errors_by_minute, most) if any(traffic.errors_by_minute) else ""
    return Spark(width, _area(traffic.requests_by_minute, most), errors)


def rate(per_second: float) -> str:
    """`120 /s`, `4.2 /s`, `12 /min`: whatever people can picture."""
    if per_second >= 9.95:
        return f"{per_second:,.0f} /s"
    if per_second >= 0.995:
        return f"{per_second:.1f} /s"
    per_minute = 60 * per_second
    return f"{per_minute:.0f} /min" if per_minute >= 0.95 else "under 1 /min"


def span(seconds: float) -> str:
    """`4 ms`, `45 ms`, `1.2 s`."""
    if seconds < 0.0005:
        return "under 1 ms"
    return f"{1000 * seconds:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


def percent(share: float) -> str:
    """Never 0 where something was."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{max(100 * share, 0.1):.1f} %"


def _area(values: Sequence[int], most: int) -> str:
    # What is little is seen, too.
    heights = (max(1, round((HEIGHT - 1) * value / most)) if value else 0 for value in values)
    tops = (f"{STEP * place},{HEIGHT - height}" for place, height in enumerate(heights))
    return " ".join((f"0,{HEIGHT}", *tops, f"{STEP * (len(values) - 1)},{HEIGHT}"))
