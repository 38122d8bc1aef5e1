"""How a service stands, turned into the conditions that people read.

A pure function of a few facts, so that the rules can be read in one place: `Ready` says whether what git
asks for is what serves; the other conditions are present only when true; `Ready` is never True together
with `Stalled`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reconciler.model.failure import Failure, Reason, Stalled
from reconciler.model.status import Condition, ConditionType
from reconciler.model.word import SILENT, Word

PROGRESSING = "Progressing"
SUSPENDED = "Suspended"
REQUESTED = "Requested"
PASSED_BY = "Syncs pass this service by until it is resumed."
DOWN = "is started again, later and later; until it runs, requests get 503"
HELD = "It stays so until there is a new digest, or it is resumed."


@dataclass(frozen=True, slots=True)
class Standing:
    serving: str | None = None
    """The release that answers, told to people: `tasks-7 of main@1a2b3c4d`."""
    syncing: str | None = None
    """What is being done at the moment."""
    trouble: Failure | None = None
    """Why what git asks for is not what serves, or why what serves is not well."""
    suspended: bool = False
    rolled_back: str | None = None
    """Why the previous release took the traffic back by itself."""
    word: Word = SILENT
    down: bool = False
    """None of the workers of what serves is there, and the next one is waited for."""


def conditions(standing: Standing, before: Iterable[Condition], now: datetime) -> tuple[Condition, ...]:
    """The conditions that follow; one that says the same as before keeps its `since`."""
    known = {condition.type: condition for condition in before}
    return tuple(_unchanged_since(known.get(fresh.type), fresh) for fresh in _conditions(standing, now))


def _conditions(standing: Standing, now: datetime) -> list[Condition]:
    found = [_ready(standing, now)]
    if standing.syncing is not None:
        found.append(_condition("Syncing", "True", PROGRESSING, standing.syncing, now))
    elif isinstance(standing.trouble, Stalled):
        found.append(_troubled("Stalled", "True", standing, standing.trouble, now))
    if standing.word.suspended is not None:
        found.append(
            _condition("Suspended", "True", REQUESTED, f"{_sentence(standing.word.suspended)} {PASSED_BY}", now)
        )
    elif standing.suspended:
        found.append(_condition("Suspended", "True", SUSPENDED, PASSED_BY, now))
    if standing.word.held is not None:
        found.append(_condition("RolledBack", "True", REQUESTED, f"{_sentence(standing.word.held)} {HELD}", now))
    elif standing.rolled_back is not None:
        reason = standing.trouble.reason if standing.trouble else Reason.TESTS_FAILED
        found.append(_condition("RolledBack", "True", reason, standing.rolled_back, now))
    return found


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _ready(standing: Standing, now: datetime) -> Condition:
    if standing.trouble is not None:
        return _troubled("Ready", "False", standing, standing.trouble, now)
    if standing.serving is not None:
        return _condition("Ready", "True", Reason.LIVE, f"{standing.serving} serves.", now)
    if standing.suspended or standing.word.suspended is not None:
        return _condition("Ready", "False", SUSPENDED, "Suspended before it ever ran.", now)
    return _condition("Ready", "Unknown", PROGRESSING, standing.syncing or "Waiting for its first release.", now)


def _troubled(
    kind: ConditionType, status: Literal["True", "False"], standing: Standing, trouble: Failure, now: datetime
) -> Condition:
    remains = f" {standing.serving} {DOWN if standing.down else 'still serves'}." if standing.serving else ""
    place = next((problem for problem in trouble.problems if problem.file), None)
    return Condition(
        type=kind,
        status=status,
        reason=trouble.reason,
        message=f"{trouble.message.rstrip('.')}.{remains}",
        since=now,
        file=place.file if place else None,
        line=place.line if place else None,
    )


def _condition(
    kind: ConditionType, status: Literal["True", "False", "Unknown"], reason: str, message: str, now: datetime
) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, since=now)


def _unchanged_since(before: Condition | None, fresh: Condition) -> Condition:
    if before is None or (before.status, before.reason) != (fresh.status, fresh.reason):
        return fresh
    return fresh.model_copy(update={"since": before.since})
