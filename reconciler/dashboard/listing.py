"""The list of services as one page of it: what is looked for, what is broken first, a hundred at a time.

Thousands of services are searched and cut here, so that a browser never holds more than one page of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.dashboard.standing import Look, Standing, counted, standing
from reconciler.model.status import ServiceStatus

PAGE = 100


@dataclass(frozen=True, slots=True)
class Row:
    service: ServiceStatus
    standing: Standing


@dataclass(frozen=True, slots=True)
class Listing:
    rows: Sequence[Row]
    counts: Sequence[tuple[Look, int]]
    """Of all services, whatever is looked for."""
    total: int
    found: int
    page: int
    pages: int

    @property
    def first(self) -> int:
        return (self.page - 1) * PAGE + 1


def listing(services: Sequence[ServiceStatus], text: str = "", look: str = "", page: int = 1) -> Listing:
    every = [Row(service, standing(service)) for service in services]
    found = [row for row in every if _says(row.service, text)] if text else every
    if look:
        found = [row for row in found if row.standing.look.name == look]
    # Names are in order already, and sorting keeps it.
    found = sorted(found, key=lambda row: not row.standing.look.is_bad)
    pages = max(1, -(-len(found) // PAGE))
    page = min(page, pages)
    shown = found[(page - 1) * PAGE : page * PAGE]
    return Listing(shown, counted(row.standing for row in every), len(every), len(found), page, pages)


def _says(service: ServiceStatus, text: str) -> bool:
    commit = service.live.commit if service.live else None
    said = (service.name, service.description, commit.subject if commit else None, service.revision_changed)
    wanted = text.casefold()
    return any(wanted in each.casefold() for each in said if each)
