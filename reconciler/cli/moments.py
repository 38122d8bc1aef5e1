"""Moments and durations, as people say them."""

from datetime import UTC, datetime
from itertools import pairwise

SIZES = ((86_400, "d"), (3_600, "h"), (60, "min"))


def ago(moment: str, now: datetime | None = None) -> str:
    """`3 min ago`, for a moment in ISO 8601."""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    for size, name in SIZES:
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return f"{max(0, int(seconds))} s ago"


def until(moment: str | None) -> str:
    if moment is None:
        return "never"
    seconds = max(0, int((datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()))
    for size, unit in SIZES:
        if seconds >= 2 * size:
            return f"in {seconds // size} {unit}"
    return f"in {seconds} s"


def lasted(seconds: float) -> str:
    """`8 ms`, `0.4 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 0.1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    (size, name), (smaller, rest) = next(pair for pair in pairwise((*SIZES, (1, "s"))) if seconds >= pair[0][0])
    count, left = int(seconds // size), int(seconds % size // smaller)
    return f"{count} {name} {left} {rest}" if left else f"{count} {name}"


def between(start: str, end: str | None) -> float:
    """Seconds; up to now where it goes on."""
    finished = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return (finished - datetime.fromisoformat(start)).total_seconds()
