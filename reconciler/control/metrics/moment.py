"""Everything that is counted, at one moment; nothing in it changes any more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.control.metrics.figures import ServiceFigures, Spread
from reconciler.control.metrics.usage import Labour
from reconciler.model.names import ServiceName
from reconciler.model.status import Condition
from reconciler.worker.served import InHand


@dataclass(frozen=True, slots=True)
class Station:
    """One service as it stands."""

    conditions: tuple[Condition, ...]
    workers: Mapping[str, int]
    """How many there are in which state."""
    held: InHand


@dataclass(frozen=True, slots=True)
class Moment:
    version: str
    python: str
    started_at: datetime
    ready: bool
    source_reachable: bool
    last_sync: datetime | None
    stations: Mapping[ServiceName, Station]
    figures: Mapping[ServiceName, ServiceFigures]
    labours: tuple[Labour, ...]
    gateway: Mapping[str, int] | None
    """None when it did not answer in time."""
    syncs: Mapping[str, Spread]
    phases: Mapping[str, Spread]
    steps: Mapping[str, Spread]
    suites: Spread
    builds: Mapping[str, Spread]
    webhooks: Mapping[tuple[str, str], int]
    dropped: Mapping[str, int]
    """Notices that somebody was too slow for."""
    spooled: Mapping[str, int]
    """What a destination has not got yet."""
