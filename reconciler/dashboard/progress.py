"""How far the sync under way has come, by what the services themselves say.

A sync that ended is told by its record; nothing here guesses how long one will take.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.model.notice import Kind
from reconciler.model.status import Condition, EventStatus, ServiceStatus, SyncStatus

UNDER_WAY = ("waiting", "running")
SETTLED = (Kind.RELEASE_SWITCHED, Kind.RELEASE_FAILED, Kind.SERVICE_REMOVED)


@dataclass(frozen=True, slots=True)
class Progress:
    sync: SyncStatus
    working: Sequence[tuple[str, Condition]]
    """Services at which something is being done, and what."""
    planned: int | None
    """How many services it will touch; None until that is known."""
    settled: int

    @property
    def share(self) -> float:
        return self.settled / self.planned if self.planned else 0.0


def progress(
    sync: SyncStatus | None, services: Sequence[ServiceStatus], events: Sequence[EventStatus]
) -> Progress | None:
    """None when nothing is under way. `events` are the newest ones, in order."""
    if sync is None or sync.state not in UNDER_WAY:
        return None
    own = [event for event in events if event.sync == sync.id]
    plan = next((event for event in own if event.kind == Kind.SYNC_PLANNED), None)
    told = plan.data.get("actions", ()) if plan else ()
    names = {str(one.get("service")) for one in told if isinstance(one, dict)}
    settled = {event.service for event in own if event.kind in SETTLED} & names
    return Progress(sync, _working(services), len(names) if plan else None, len(settled))


def _working(services: Sequence[ServiceStatus]) -> list[tuple[str, Condition]]:
    syncing = ((service.name, _syncing(service)) for service in services)
    return [(name, condition) for name, condition in syncing if condition is not None]


def _syncing(service: ServiceStatus) -> Condition | None:
    return next((one for one in service.conditions if one.type == "Syncing" and one.status == "True"), None)
