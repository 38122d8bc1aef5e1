"""A plan as it is told: what the next sync would do about each service, and what callers would notice."""

from typing import Literal

from reconciler.model.status import PackageStatus, ProblemStatus, Told


class RouteStatus(Told):
    method: str
    path: str
    """Below the service."""
    kind: Literal["added", "removed", "changed"]
    breaks: tuple[str, ...] = ()
    """Why callers will notice."""
    notes: tuple[str, ...] = ()


class PlannedAction(Told):
    service: str
    verb: Literal["start", "replace", "remove", "keep", "hold"]
    why: str
    moved: tuple[str, ...] = ()
    """Which parts of the digest: code, shared, environment, configuration, secrets."""
    packages: tuple[PackageStatus, ...] = ()
    """Resolved packages that differ."""
    routes: tuple[RouteStatus, ...] | None = None
    """Routes that differ; null where they were not compared."""
    breaking: bool = False
    """Whether callers of a route will notice."""
    reason: str | None = None
    message: str | None = None
    """Why it would fail, as far as that can be known beforehand."""
    problems: tuple[ProblemStatus, ...] = ()


class PlanStatus(Told):
    revision: str | None
    actions: tuple[PlannedAction, ...]
    message: str | None = None
    """Why nothing at all would be done."""
    problems: tuple[ProblemStatus, ...] = ()
