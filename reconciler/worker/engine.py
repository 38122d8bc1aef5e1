"""What makes a release run: here, as processes of this machine.

This is the seam where another engine could take their place: it starts a release and gives a crew.
"""

from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from reconciler.model.names import ReleaseId
from reconciler.worker.crew import Crew
from reconciler.worker.means import Means
from reconciler.worker.numbers import Numbers
from reconciler.worker.spec import ReleaseSpec


class Engine(Protocol):
    """Whatever can make a release run."""

    async def start(self, spec: ReleaseSpec, *, used: int = 0, candidate: bool = False) -> Crew:
        """`used` is the last number that a worker of this release ever had; a candidate is yet to be proved."""


class LocalEngine:
    """Releases as processes of this machine, forked from zygotes."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self.crews: WeakSet[Crew] = WeakSet()
        """Also those that are being tried, and those that finish what they began."""
        self._numbers: WeakValueDictionary[ReleaseId, Numbers] = WeakValueDictionary()

    def crew(self, spec: ReleaseSpec, *, used: int = 0) -> Crew:
        """A crew that has not started."""
        numbers = self._numbers.setdefault(spec.release, Numbers(used))
        crew = Crew(spec, self._means, numbers)
        self.crews.add(crew)
        return crew

    async def start(self, spec: ReleaseSpec, *, used: int = 0, candidate: bool = False) -> Crew:
        crew = self.crew(spec, used=used)
        await crew.start(candidate=candidate)
        return crew
