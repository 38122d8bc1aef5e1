"""Webhooks that were genuine: remembered before they are answered, so that none is lost and none counts twice."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, bindparam, delete, func, or_, select, update

from reconciler.model.names import SyncId
from reconciler.store.entries import Entries, changing, inserting, numbered
from reconciler.store.rows import Page, WebhookRow
from reconciler.store.tables import Sync, Webhook

WEBHOOKS_KEPT = 10_000
KEPT_FOR = timedelta(days=7)
_PRUNE_EVERY = 100
_INSERT = inserting(Webhook)
_CHANGE = changing(Webhook, Webhook.__table__.c.id)
_BY_IDENTITY = select(Webhook.__table__).where(Webhook.identity == bindparam("identity"))


class WebhookEntries(Entries):
    def receive(
        self, identity: str, provider: str, delivery: str, event: str, state: str, reason: str, at: datetime
    ) -> tuple[WebhookRow, bool]:
        """Write it down, or say which it was when it came before; and whether that is new.

        One that was ignored may count by now. One that was accepted has its sync, and stays what it was.
        """
        known = self._connection.execute(_BY_IDENTITY, {"identity": identity}).mappings().first()
        if known is not None:
            judged = {"state": state, "reason": reason} if known["state"] == "ignored" else {}
            now = {**judged, "repeats": known["repeats"] + 1, "repeated_at": at}
            self._connection.execute(_CHANGE, {"key": known["id"], **now})
            return _row({**known, **now}), judged.get("state") == "accepted"
        told = {
            "identity": identity,
            "provider": provider,
            "delivery": delivery,
            "event": event,
            "state": state,
            "reason": reason,
            "received_at": at,
            "repeats": 0,
            "repeated_at": None,
            "sync": None,
        }
        number = self._add(_INSERT, told)
        if number % _PRUNE_EVERY == 0:
            old = or_(Webhook.id <= number - WEBHOOKS_KEPT, Webhook.received_at < at - KEPT_FOR)
            self._connection.execute(delete(Webhook).where(old))
        return _row({**told, "id": number}), True

    def cause(self, webhooks: Iterable[int], sync: SyncId) -> None:
        """These asked for that sync."""
        changed = update(Webhook).where(Webhook.id.in_(tuple(webhooks))).values(sync=int(sync))
        self._connection.execute(changed)

    def owe(self, sync: SyncId) -> None:
        """Nobody will finish it: until another is begun, whoever asked for it is told of none."""
        self._connection.execute(update(Webhook).where(Webhook.sync == int(sync)).values(sync=None))

    def owing(self) -> tuple[int, ...]:
        """Webhooks whose sync was not begun or not finished when the journal was last closed."""
        query = (
            select(Webhook.id)
            .outerjoin(Sync, Sync.id == Webhook.sync)
            .where(Webhook.state == "accepted", or_(Webhook.sync.is_(None), Sync.state.in_(("waiting", "running"))))
            .order_by(Webhook.id)
        )
        return tuple(self._connection.execute(query).scalars())

    def webhook(self, number: str) -> WebhookRow | None:
        query = select(Webhook.__table__).where(Webhook.id == numbered(number))
        row = self._connection.execute(query).mappings().first()
        return None if row is None else _row(row)

    def webhooks(self, limit: int = 50, after: str | None = None) -> Page[WebhookRow]:
        """The newest first."""
        total = self._connection.execute(select(func.count()).select_from(Webhook)).scalar_one()
        query = select(Webhook.__table__).order_by(Webhook.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(Webhook.id < numbered(after))
        rows = [_row(row) for row in self._connection.execute(query).mappings()]
        return Page(tuple(rows[:limit]), total, str(rows[limit - 1].id) if len(rows) > limit else None)


def _row(facts: RowMapping | dict[str, object]) -> WebhookRow:
    sync = facts["sync"]
    return WebhookRow(**{**facts, "sync": SyncId(str(sync)) if sync is not None else None})
