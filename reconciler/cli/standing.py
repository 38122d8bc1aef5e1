"""How a service and the platform stand, in one sign and one word: what the exit code and every line follow.

Works on what the API tells, and knows nothing that the API does not.
"""

from collections.abc import Iterable
from typing import Any

Service = dict[str, Any]
Condition = dict[str, Any]

WORST_FIRST = ("Stalled", "Ready=False", "RolledBack", "Syncing", "Suspended", "Asleep", "Ready=Unknown", "Ready")
UNKNOWN = ("?", "yellow")
MARKS = {
    "Stalled": ("✗", "red"),
    "Ready=False": ("✗", "red"),
    "RolledBack": ("!", "yellow"),
    "Syncing": ("…", "blue"),
    "Ready=Unknown": ("…", "blue"),
    "Suspended": ("-", "dim"),
    "Asleep": ("z", "dim"),
    "Ready": ("✓", "green"),
}


def is_good(service: Service) -> bool:
    """Suspended is somebody's wish; a service that failed is not good even while its last release serves."""
    keys = {key(condition) for condition in service["conditions"]}
    return "Stalled" not in keys and ("Ready=False" not in keys or "Suspended" in keys)


def source_is_good(platform: dict[str, Any]) -> bool:
    return bool(platform["source"]["condition"]["status"] != "False")


def in_trouble(platform: dict[str, Any]) -> list[dict[str, Any]]:
    """Databases and projects that do not get what they should."""
    return [destination for destination in platform["destinations"] if destination["trouble"]]


def key(condition: Condition) -> str:
    kind, value = condition["type"], condition["status"]
    return f"{kind}={value}" if value != "True" else str(kind)


def worst(conditions: Iterable[Condition]) -> Condition | None:
    """What to say of it in one word. That a suspended service is not ready is what somebody asked for."""
    known = {key(condition): condition for condition in conditions if key(condition) in WORST_FIRST}
    if "Suspended" in known:
        known.pop("Ready=False", None)
    return known[min(known, key=WORST_FIRST.index)] if known else None


def mark(condition: Condition | None) -> tuple[str, str]:
    """A sign, and its colour."""
    return MARKS.get(key(condition), UNKNOWN) if condition else UNKNOWN
