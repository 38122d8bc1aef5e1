"""How long each phase of a sync took, told in the order in which they began."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from reconciler.model.status import PhaseTime


class Stopwatch:
    def __init__(self) -> None:
        self.phases: list[PhaseTime] = []

    @contextmanager
    def phase(self, name: str, service: str | None = None) -> Iterator[None]:
        at, began = datetime.now(UTC), time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began
            self.phases.append(PhaseTime(name=name, service=service, started_at=at, seconds=seconds))


def in_seconds(phases: Iterable[PhaseTime], service: str | None = None) -> dict[str, float]:
    """The phases of a service, or those that were nobody's own, by name."""
    return {phase.name: phase.seconds for phase in phases if phase.service == service}
