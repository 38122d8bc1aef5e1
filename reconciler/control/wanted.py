"""What git asks for about one service, read and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.digest import Ingredients
from reconciler.model.failure import Failure, Wait
from reconciler.model.manifest import Manifest
from reconciler.model.names import Revision, ServiceName
from reconciler.model.pinned_secret import PinnedSecret
from reconciler.model.plan import Desired
from reconciler.model.platform import Prune
from reconciler.model.position import Position
from reconciler.model.problem import Problem
from reconciler.model.requirement import Requirements


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service folder that can be followed."""

    name: ServiceName
    folder: str
    """Its path in the repository."""
    prefix: str
    manifest: Manifest
    requirements: Requirements
    ingredients: Ingredients
    watched: tuple[str, ...]
    """Paths outside the folder that are part of it, as they stand in this tree."""
    revision: Revision
    """The commit in which it was last seen to change."""
    secrets: tuple[PinnedSecret, ...] = ()
    """With the versions that a release made now gets; not known yet when it has just been read."""
    places: Mapping[str, Position] = field(default_factory=dict)
    """Where its manifest names which secret."""

    def desired(self) -> Desired:
        return Desired(self.ingredients, suspended=self.manifest.suspend)


@dataclass(frozen=True, slots=True)
class Unfit:
    """A service folder that cannot be followed, and why. Whatever runs goes on."""

    name: ServiceName
    folder: str
    prefix: str
    failure: Failure
    revision: Revision

    @property
    def may_pass(self) -> bool:
        """Without a commit."""
        return isinstance(self.failure, Wait)

    def desired(self) -> Desired:
        return Desired(invalid=self.failure.message)


Wish = Wanted | Unfit


@dataclass(frozen=True, slots=True)
class Reading:
    """One revision, read: every service it holds, and which of them are not what they were."""

    revision: Revision
    mount: str
    prune: Prune
    wishes: Mapping[ServiceName, Wish]
    changed: frozenset[ServiceName]
    """Different from the last reading, gone ones included: only these cost any thought."""
    before: Mapping[ServiceName, Wish] | None = None
    """The wishes of the last reading, from which just the changed ones differ."""
    misnamed: tuple[Problem, ...] = ()
    """Folders that cannot be services, for their names."""
    warnings: tuple[Problem, ...] = ()
    """What harms nobody, and is hardly meant."""
