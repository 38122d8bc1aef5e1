"""Access tokens and the audit log.

Of a token only a hash of its secret is here. What stands in the audit log stays: nothing here changes or removes it,
and the database refuses to.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import RowMapping, bindparam, func, select, update

from reconciler.model.access import Scope
from reconciler.model.names import ServiceName
from reconciler.store.entries import Entries, inserting, numbered
from reconciler.store.rows import AuditRow, Page, TokenRow
from reconciler.store.tables import AccessToken, Audit

_INSERT_TOKEN = inserting(AccessToken)
_INSERT_AUDIT = inserting(Audit)
_USED = update(AccessToken).where(AccessToken.id == bindparam("key"))


class AccessEntries(Entries):
    def add_token(
        self,
        token: str,
        hashed: str,
        *,
        name: str,
        kind: str,
        scopes: Collection[Scope],
        services: Collection[ServiceName] | None,
        parent: str | None,
        created_by: str,
        created_at: datetime,
        expires_at: datetime | None,
    ) -> None:
        self._connection.execute(
            _INSERT_TOKEN,
            {
                "id": token,
                "hash": hashed,
                "name": name,
                "kind": kind,
                "scopes": sorted(scopes),
                "services": sorted(services) if services is not None else None,
                "parent": parent,
                "created_by": created_by,
                "created_at": created_at,
                "expires_at": expires_at,
            },
        )

    def tokens(self) -> tuple[TokenRow, ...]:
        """All of them, the oldest first; revoked and expired ones too."""
        query = select(AccessToken.__table__).order_by(AccessToken.created_at, AccessToken.id)
        return tuple(_token(row) for row in self._connection.execute(query).mappings())

    def revoke_tokens(self, tokens: Collection[str], at: datetime) -> None:
        fresh = AccessToken.id.in_(tokens) & AccessToken.revoked_at.is_(None)
        self._connection.execute(update(AccessToken).where(fresh).values(revoked_at=at))

    def token_used(self, token: str, at: datetime) -> None:
        self._connection.execute(_USED, {"key": token, "used_at": at})

    def audit(
        self,
        at: datetime,
        actor: str,
        action: str,
        *,
        token: str | None,
        service: str | None,
        address: str,
        status: int,
    ) -> None:
        told = {"at": at, "actor": actor, "action": action, "token": token, "service": service}
        self._connection.execute(_INSERT_AUDIT, {**told, "address": address, "status": status})

    def audits(self, limit: int, after: str | None = None) -> Page[AuditRow]:
        """The newest first, those older than `after`."""
        query = select(Audit.__table__).order_by(Audit.id.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(Audit.id < numbered(after))
        rows = [AuditRow(**row) for row in self._connection.execute(query).mappings()]
        total = self._connection.execute(select(func.max(Audit.id))).scalar() or 0
        more = len(rows) > limit
        return Page(tuple(rows[:limit]), total, str(rows[limit - 1].id) if more else None)


def _token(row: RowMapping) -> TokenRow:
    facts = dict(row)
    services = facts["services"]
    facts["services"] = frozenset(map(ServiceName, services)) if services is not None else None
    return TokenRow(**facts | {"scopes": frozenset(facts["scopes"])})
