"""Releases that serve, served, or could serve again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.control.deployment import Candidate
from reconciler.control.recipe import Recipe
from reconciler.model.digest import Ingredients
from reconciler.model.names import EnvironmentId, ReleaseId, shortened
from reconciler.store.rows import ReleaseRow
from reconciler.worker.crew import Crew


@dataclass(frozen=True, slots=True)
class Live:
    """A release with a crew, and with the traffic or ready to have it."""

    release: ReleaseId
    ingredients: Ingredients
    recipe: Recipe
    environment: EnvironmentId
    packages: Mapping[str, str]
    crew: Crew
    created_at: datetime
    since: datetime

    @classmethod
    def from_candidate(cls, candidate: Candidate, ingredients: Ingredients, since: datetime) -> "Live":
        return cls(
            candidate.release,
            ingredients,
            candidate.recipe,
            candidate.lock.id,
            candidate.lock.packages,
            candidate.crew,
            candidate.begun_at,
            since,
        )

    @classmethod
    def again(cls, row: ReleaseRow, crew: Crew, since: datetime) -> "Live":
        """One that was live before, with other workers."""
        return cls(
            row.id,
            row.ingredients,
            Recipe.from_plain(row.config),
            crew.spec.environment,
            row.facts.get("packages", {}),
            crew,
            row.created_at,
            since,
        )

    def __str__(self) -> str:
        return f"{self.release} of {shortened(self.recipe.revision)}"


@dataclass(frozen=True, slots=True)
class Past:
    """A release that was live once and could be again: its folder and its environment are kept."""

    release: ReleaseId
    environment: EnvironmentId

    @classmethod
    def of(cls, row: ReleaseRow) -> "Past":
        return cls(row.id, EnvironmentId(row.environment or ""))
