"""The plan: what one sync should do about every service, and why.

A pure function of what git asks for and what runs. It can be printed instead of carried out, and once
carried out, the next plan keeps everything.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.digest import Ingredients
from reconciler.model.names import Digest, ServiceName


class Verb(StrEnum):
    START = "start"
    REPLACE = "replace"
    REMOVE = "remove"
    KEEP = "keep"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Desired:
    """What git asks for: something to run, or a reason why nothing new can be."""

    ingredients: Ingredients | None = None
    suspended: bool = False
    invalid: str | None = None
    """Why the manifest cannot be followed; whatever runs goes on."""


@dataclass(frozen=True, slots=True)
class Running:
    """What is there: the live release's ingredients, and what has already been tried in vain."""

    ingredients: Ingredients | None = None
    failed: frozenset[Digest] = frozenset()
    """Digests that are not tried again until they change or somebody asks."""
    held: str | None = None
    """A person's or a rollback's word that holds the service at its release until a new digest."""
    held_digest: Digest | None = None
    suspended: str | None = None
    """A person's word that lets syncs pass it by."""


@dataclass(frozen=True, slots=True)
class Action:
    service: ServiceName
    verb: Verb
    why: str
    digest: Digest | None = None
    moved: tuple[str, ...] = ()
    meant: bool = False
    """A hold that is somebody's wish, and no trouble."""

    def __str__(self) -> str:
        return f"{self.verb:<8} {self.service}  {self.why}"


def plan(desired: Mapping[ServiceName, Desired], running: Mapping[ServiceName, Running]) -> tuple[Action, ...]:
    """Say what one sync should do about every service, in name order."""
    names = sorted(desired.keys() | running.keys())
    return tuple(decide(name, desired.get(name), running.get(name, Running())) for name in names)


def decide(service: ServiceName, wanted: Desired | None, running: Running) -> Action:
    if running.suspended is not None:
        return Action(service, Verb.HOLD, running.suspended, meant=True)
    if wanted is None:
        return Action(service, Verb.REMOVE, "git no longer holds it")
    if wanted.suspended:
        return Action(service, Verb.HOLD, "suspended", meant=True)
    if wanted.invalid is not None or wanted.ingredients is None:
        return Action(service, Verb.HOLD, wanted.invalid or "its manifest says nothing to run")
    return _decide_digest(service, wanted.ingredients, running)


def _decide_digest(service: ServiceName, wanted: Ingredients, running: Running) -> Action:
    digest = wanted.digest
    live = running.ingredients
    if live is not None and live.digest == digest:
        return Action(service, Verb.KEEP, "unchanged", digest)
    if digest in running.failed:
        return Action(
            service, Verb.HOLD, "this digest failed before; a new commit or `sync --retry` tries again", digest
        )
    if running.held is not None and running.held_digest == digest:
        return Action(service, Verb.HOLD, running.held, digest, meant=True)
    if live is None:
        return Action(service, Verb.START, "new", digest)
    moved = live.moved(wanted)
    return Action(service, Verb.REPLACE, f"{', '.join(moved)} changed", digest, moved)


def in_order(actions: Iterable[Action], needs: Mapping[ServiceName, Sequence[str]]) -> tuple[Action, ...]:
    """Those that others depend on first. Who depends on himself in a circle waits for nobody in it."""
    by_name = {action.service: action for action in actions}
    ordered: dict[ServiceName, Action] = {}

    def place(service: ServiceName, waiting: frozenset[ServiceName]) -> None:
        if service in ordered or service in waiting or service not in by_name:
            return
        for needed in needs.get(service, ()):
            place(ServiceName(needed), waiting | {service})
        ordered.setdefault(service, by_name[service])

    for service in by_name:
        place(service, frozenset())
    return tuple(ordered.values())
