"""Events: what happened, in order, for as long as there is room."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, select

from reconciler.model.names import ReleaseId, ServiceName, SyncId
from reconciler.store.entries import Entries, inserting
from reconciler.store.rows import EventRow
from reconciler.store.tables import Event

EVENTS_KEPT = 100_000
_PRUNE_EVERY = 1_000
_INSERT = inserting(Event)


class EventEntries(Entries):
    def event(
        self,
        kind: str,
        message: str,
        service: ServiceName | None = None,
        release: ReleaseId | None = None,
        *,
        sync: SyncId | None = None,
        revision: str | None = None,
        data: Mapping[str, Any] | None = None,
        at: datetime,
    ) -> int:
        told = {
            "kind": kind,
            "message": message,
            "service": service,
            "release": release,
            "sync": int(sync) if sync is not None else None,
            "revision": revision,
            "data": dict(data or {}),
            "at": at,
        }
        number = self._add(_INSERT, told)
        if number % _PRUNE_EVERY == 0:
            self._connection.execute(delete(Event).where(Event.id <= number - EVENTS_KEPT))
        return number

    def events(self, after: int = 0, service: ServiceName | None = None, limit: int = 100) -> tuple[EventRow, ...]:
        """Those that came after one, in order."""
        query = select(Event.__table__).where(Event.id > after).order_by(Event.id).limit(limit)
        if service is not None:
            query = query.where(Event.service == service)
        return tuple(_row(row) for row in self._connection.execute(query).mappings())

    def event_of(self, sync: SyncId, kind: str) -> EventRow | None:
        """The last of its kind in one sync."""
        query = select(Event.__table__).where(Event.sync == int(sync), Event.kind == kind).order_by(Event.id.desc())
        row = self._connection.execute(query.limit(1)).mappings().first()
        return _row(row) if row is not None else None

    def last_events(self, service: ServiceName | None = None, limit: int = 20) -> tuple[EventRow, ...]:
        """The newest, the newest first."""
        query = select(Event.__table__).order_by(Event.id.desc()).limit(limit)
        if service is not None:
            query = query.where(Event.service == service)
        return tuple(_row(row) for row in self._connection.execute(query).mappings())


def _row(row: RowMapping) -> EventRow:
    sync = row["sync"]
    return EventRow(**{**row, "sync": SyncId(str(sync)) if sync is not None else None})
