"""Services: one row for each that git holds, and the word on which release is live.

That word is the truth about routing: it changes in one transaction with the phases of both releases, and the
gateway is told afterwards.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import RowMapping, bindparam, delete, select

from reconciler.model.names import Digest, ReleaseId, ServiceName
from reconciler.store.entries import changing, inserting
from reconciler.store.releases import ReleaseEntries
from reconciler.store.rows import Phase, ServiceRow, SourceRow
from reconciler.store.tables import Service, Source

_INSERT = inserting(Service)
_CHANGE = changing(Service, Service.__table__.c.name)
_LIVE = select(Service.live).where(Service.name == bindparam("key"))
_INSERT_SOURCE = inserting(Source)


class ServiceChange(TypedDict, total=False):
    """What may be written about a service; what is left out stays as it is."""

    parked: ReleaseId | None
    watched_until: datetime | None
    suspended: str | None
    held: str | None
    held_digest: Digest | None
    attempted: str | None
    applied: str | None
    changed: str | None
    conditions: Sequence[Mapping[str, Any]]


class ServiceEntries(ReleaseEntries):
    def note_service(self, service: ServiceName, **change: Unpack[ServiceChange]) -> None:
        values: dict[str, Any] = dict(change)
        if "conditions" in values:
            values["conditions"] = [dict(condition) for condition in values["conditions"]]
        if values:
            if self._connection.execute(_CHANGE, {"key": service, **values}).rowcount:
                return
        elif self.service(service) is not None:
            return
        self._connection.execute(_INSERT, {"conditions": [], **values, "name": service})

    def switch(self, service: ServiceName, release: ReleaseId, at: datetime) -> ReleaseId | None:
        """Make a release the live one, and say which was before it, now draining."""
        row = self._release_now(release)
        if row["service"] != service:
            raise ValueError(f"release {release} is not one of {service}")
        before = self._connection.execute(_LIVE, {"key": service}).scalar()
        self.advance(release, Phase.LIVE, at)
        if before is not None and before != release:
            self.advance(ReleaseId(before), Phase.DRAINING, at)
        self.note_service(service, attempted=row["revision"], applied=row["revision"], changed=row["revision"])
        # Whatever was held or parked is settled by it; who holds or parks says so afterwards, in the same transaction.
        settled = dict.fromkeys(("held", "held_digest", "parked", "watched_until"))
        self._connection.execute(_CHANGE, {"key": service, "live": release, **settled})
        return None if before is None or before == release else ReleaseId(before)

    def forget(self, service: ServiceName, at: datetime) -> ReleaseId | None:
        """Remove a service and keep its history; the release that was live is draining."""
        before = self._connection.execute(_LIVE, {"key": service}).scalar()
        self._connection.execute(delete(Service).where(Service.name == service))
        self.forgive(service)
        if before is None:
            return None
        self.advance(ReleaseId(before), Phase.DRAINING, at)
        return ReleaseId(before)

    def service(self, service: ServiceName) -> ServiceRow | None:
        row = self._connection.execute(select(Service.__table__).where(Service.name == service)).mappings().first()
        return None if row is None else _row(row)

    def services(self) -> tuple[ServiceRow, ...]:
        """All of them, by name."""
        rows = self._connection.execute(select(Service.__table__).order_by(Service.name)).mappings()
        return tuple(_row(row) for row in rows)

    def source(self) -> SourceRow:
        row = self._connection.execute(select(Source.attempted, Source.applied, Source.at)).mappings().first()
        return SourceRow(attempted=None, applied=None, at=None) if row is None else SourceRow(**row)

    def set_source(self, attempted: str | None, applied: str | None, at: datetime) -> None:
        self._connection.execute(delete(Source))
        self._connection.execute(_INSERT_SOURCE, {"id": 1, "attempted": attempted, "applied": applied, "at": at})


def _row(row: RowMapping) -> ServiceRow:
    facts = dict(row)
    return ServiceRow(**facts | {"conditions": tuple(facts["conditions"])})
