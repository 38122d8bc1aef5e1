"""Syncs: one row from the moment somebody asks for one."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, func, select

from reconciler.model.names import Revision, SyncId
from reconciler.store.entries import Entries, changing, inserting, numbered
from reconciler.store.rows import Page, SyncRow, SyncState
from reconciler.store.tables import Sync

SYNCS_KEPT = 10_000
_PRUNE_EVERY = 100
_INSERT = inserting(Sync)
_CHANGE = changing(Sync, Sync.__table__.c.id)


class SyncEntries(Entries):
    def begin_sync(self, trigger: str, at: datetime) -> SyncId:
        asked = {"trigger": trigger, "state": "waiting", "requested_at": at, "actions": [], "kept": 0, "phases": []}
        number = self._add(_INSERT, asked)
        if number % _PRUNE_EVERY == 0:
            self._connection.execute(delete(Sync).where(Sync.id <= number - SYNCS_KEPT))
        return SyncId(str(number))

    def start_sync(self, sync: SyncId, at: datetime) -> None:
        self._change_sync(sync, state="running", started_at=at)

    def record_revision(self, sync: SyncId, revision: Revision | str) -> None:
        self._change_sync(sync, revision=str(revision))

    def finish_sync(
        self,
        sync: SyncId,
        state: SyncState,
        at: datetime,
        *,
        message: str | None = None,
        actions: Iterable[Mapping[str, Any]] = (),
        kept: int = 0,
        phases: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self._change_sync(
            sync,
            state=state,
            finished_at=at,
            message=message,
            actions=[dict(action) for action in actions],
            kept=kept,
            phases=[dict(phase) for phase in phases],
        )

    def sync(self, sync: SyncId) -> SyncRow | None:
        row = self._connection.execute(select(Sync.__table__).where(Sync.id == numbered(sync))).mappings().first()
        return None if row is None else _row(row)

    def syncs(self, limit: int = 50, after: str | None = None) -> Page[SyncRow]:
        """The newest first."""
        total = self._connection.execute(select(func.count()).select_from(Sync)).scalar_one()
        query = select(Sync.__table__).order_by(Sync.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(Sync.id < numbered(after))
        rows = [_row(row) for row in self._connection.execute(query).mappings()]
        return Page(tuple(rows[:limit]), total, rows[limit - 1].id if len(rows) > limit else None)

    def unfinished_syncs(self) -> tuple[SyncRow, ...]:
        """What was asked for or under way when the journal was last closed, in the order it was asked for."""
        query = select(Sync.__table__).where(Sync.state.in_(("waiting", "running"))).order_by(Sync.id)
        return tuple(_row(row) for row in self._connection.execute(query).mappings())

    def _change_sync(self, sync: SyncId, **values: Any) -> None:
        done = self._connection.execute(_CHANGE, {"key": int(sync), **values})
        if done.rowcount != 1:
            raise LookupError(f"no sync {sync}")


def _row(row: RowMapping) -> SyncRow:
    facts = dict(row)
    return SyncRow(
        **facts | {"id": SyncId(str(facts["id"])), "actions": tuple(facts["actions"]), "phases": tuple(facts["phases"])}
    )
