"""What a crew works with: whom it asks for workers and for secrets, and whom it tells of both."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reconciler.model.names import WorkerId
from reconciler.model.pinned_secret import PinnedSecret
from reconciler.worker.exit import Exit
from reconciler.worker.forked import Forked
from reconciler.worker.served import Served
from reconciler.worker.spec import ReleaseSpec, WorkerSockets
from reconciler.worker.zygotes import Zygotes


class Ledger(Protocol):
    """Where the intent to fork is written down before the fork, so that the next control finds the worker."""

    async def intend(self, worker: WorkerId, spec: ReleaseSpec, sockets: WorkerSockets, at: datetime) -> None: ...

    def forked(self, worker: WorkerId, process: Forked) -> None: ...

    def gone(self, worker: WorkerId, end: Exit) -> None: ...


class Meter(Protocol):
    """Who adds up what workers do. Told at once, and never in their way."""

    def served(self, spec: ReleaseSpec, served: Served) -> None: ...

    def replaced(self, spec: ReleaseSpec, end: Exit | None) -> None:
        """A worker has taken the place of one that ended so."""


class Unmetered:
    """Nobody wants to know."""

    def served(self, spec: ReleaseSpec, served: Served) -> None: ...

    def replaced(self, spec: ReleaseSpec, end: Exit | None) -> None: ...


UNMETERED = Unmetered()
Reveal = Callable[[Iterable[PinnedSecret]], Awaitable[Mapping[str, str]]]
"""The values of secrets, by the variables that get them. Raises a `Failure` when one cannot be had."""


@dataclass(frozen=True, slots=True)
class Means:
    zygotes: Zygotes
    ledger: Ledger
    sockets: Callable[[], WorkerSockets]
    """Fresh ones, for a worker that is about to be forked."""
    reveal: Reveal
    meter: Meter = UNMETERED
