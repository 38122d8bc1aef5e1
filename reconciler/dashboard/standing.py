"""How a service stands, in one word and one shape, and in which order people want to hear of it.

The words are those of the conditions. The shape says the same as the colour, for whoever sees no colours.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from reconciler.model.status import Condition, ServiceStatus


class Look(Enum):
    """Word, shape, and the class that gives it a colour; in the order of importance."""

    STALLED = ("Stalled", "cross", "bad")
    NOT_READY = ("Not ready", "cross", "bad")
    SYNCING = ("Syncing", "ring", "busy")
    UNKNOWN = ("Unknown", "ring", "busy")
    SUSPENDED = ("Suspended", "pause", "still")
    ASLEEP = ("Asleep", "moon", "still")
    READY = ("Ready", "check", "good")

    def __init__(self, word: str, shape: str, tone: str) -> None:
        self.word = word
        self.shape = shape
        self.tone = tone

    @property
    def is_bad(self) -> bool:
        return self.tone == "bad"


BY_KEY = {
    "Stalled": Look.STALLED,
    "Ready=False": Look.NOT_READY,
    "Syncing": Look.SYNCING,
    "Ready=Unknown": Look.UNKNOWN,
    "Suspended": Look.SUSPENDED,
    "Asleep": Look.ASLEEP,
    "Ready": Look.READY,
}
ORDER = tuple(BY_KEY)


@dataclass(frozen=True, slots=True)
class Standing:
    look: Look
    condition: Condition | None
    rolled_back: bool


def look_of(condition: Condition) -> Look | None:
    return BY_KEY.get(_key(condition))


def standing(service: ServiceStatus) -> Standing:
    """A suspended service that never ran is not broken: somebody wished it so."""
    said = {_key(condition): condition for condition in service.conditions}
    if said.keys() == {"Ready"}:
        return Standing(Look.READY, said["Ready"], False)
    if "Suspended" in said:
        said.pop("Ready=False", None)
    key = next((key for key in ORDER if key in said), None)
    return Standing(BY_KEY[key] if key else Look.UNKNOWN, said[key] if key else None, "RolledBack" in said)


def worth_telling(conditions: Sequence[Condition]) -> list[Condition]:
    """A service that stalled is not ready either, for the same reason: once is enough."""
    stalled = {condition.message for condition in conditions if condition.type == "Stalled"}
    return [one for one in conditions if _key(one) != "Ready=False" or one.message not in stalled]


def counted(standings: Iterable[Standing]) -> list[tuple[Look, int]]:
    """How many look like what; those that are good stand first, nobody is left out."""
    counts = Counter(one.look for one in standings)
    return [(look, counts[look]) for look in reversed(Look) if counts[look]]


def _key(condition: Condition) -> str:
    return condition.type if condition.status == "True" else f"{condition.type}={condition.status}"
