"""Access tokens: made, recognised, revoked.

They are few, and control alone changes them, so all are kept in memory: a request is recognised without asking the
database. What they are worth is settled when they are made and cannot be widened: whoever makes one gives away at
most what he has himself, for no longer than he has it, and what he made with a token goes when that token goes.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from reconciler.model.access import Caller, Scope, Token
from reconciler.model.access_status import AuditStatus, NewToken, TokenStatus
from reconciler.model.names import ServiceName
from reconciler.model.refusal import Refusal, Unknown
from reconciler.store.journal import Journal
from reconciler.store.rows import AuditRow, TokenRow
from reconciler.store.unusable import StoreUnusable

log = logging.getLogger(__name__)

SESSION_LASTS = timedelta(days=30)
USE_NOTED_EVERY = timedelta(minutes=1)
MOST = 10_000

Clock = Callable[[], datetime]


class Tokens:
    def __init__(self, journal: Journal, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self._journal = journal
        self._clock = clock
        self._rows: dict[str, TokenRow] = {}

    async def open(self) -> None:
        self._rows = {row.id: row for row in await self._journal.tokens()}

    def recognise(self, text: str) -> Caller | None:
        """Whose token it is; None for one that is unknown, revoked or past its time."""
        token = Token.read(text)
        row = self._rows.get(token.id) if token is not None else None
        if token is None or row is None or not token.matches(row.hash) or not self._is_good(row):
            return None
        self._note_use(row)
        return Caller(row.name, row.scopes, row.services, row.id, row.expires_at)

    def knows(self, caller: Caller) -> bool:
        """Whether somebody who was recognised before still would be."""
        row = self._rows.get(caller.token) if caller.token is not None else None
        is_over = caller.until is not None and self._clock() >= caller.until
        return not is_over and (row is None or self._is_good(row))

    async def create(
        self,
        name: str,
        scopes: Collection[Scope],
        services: Collection[str] | None,
        lasts: timedelta | None,
        by: Caller,
    ) -> NewToken:
        """Nobody gives away more than he has; without `lasts` it ends when he does."""
        if not all(by.may(scope) for scope in scopes):
            raise Refusal("a token cannot be worth more than the one that makes it")
        if by.services is not None and not set(services or ()) <= by.services:
            raise Refusal("a token cannot reach more services than the one that makes it")
        end = self._clock() + lasts if lasts is not None else by.until
        if by.until is not None and end is not None and end > by.until:
            raise Refusal("a token cannot last longer than the one that makes it")
        token, row = await self._add(name, "token", scopes, services, end, by)
        return NewToken(**_status(row, self._clock()).model_dump(), token=str(token))

    async def sign_in(self, caller: Caller) -> str:
        """What a browser carries from now on: worth what the caller is, for a while, never longer than his token."""
        ends = (self._clock() + SESSION_LASTS, caller.until)
        end = min(moment for moment in ends if moment is not None)
        token, _ = await self._add(caller.name, "session", caller.scopes, caller.services, end, caller)
        return str(token)

    async def revoke(self, token: str) -> TokenStatus:
        """Together with all that was made with it."""
        if token not in self._rows:
            raise Unknown(f"there is no token {token}")
        now, gone = self._clock(), self._family(token)
        for one in gone:
            # From this moment on, whatever becomes of the disk.
            row = self._rows[one]
            self._rows[one] = replace(row, revoked_at=row.revoked_at or now)
        # Also when asked a second time: the first may have met a full disk.
        await self._journal.revoke_tokens(gone, now)
        return _status(self._rows[token], self._clock())

    def listed(self) -> list[TokenStatus]:
        now = self._clock()
        return [_status(row, now) for row in self._rows.values()]

    async def record(self, caller: Caller | None, action: str, service: str | None, address: str, status: int) -> None:
        """One line of the audit log: durable when this returns, unless the disk is full."""
        try:
            await self._journal.audit(
                self._clock(),
                caller.name if caller else "nobody",
                action,
                token=caller.token if caller else None,
                service=service,
                address=address,
                status=status,
            )
        except StoreUnusable:
            log.exception("a line of the audit log could not be written: %s", action)

    async def audits(self, limit: int, after: str | None) -> tuple[list[AuditStatus], int]:
        page = await self._journal.audits(limit, after)
        return [_audit(row) for row in page.items], page.total

    async def _add(
        self,
        name: str,
        kind: str,
        scopes: Collection[Scope],
        services: Collection[str] | None,
        end: datetime | None,
        by: Caller,
    ) -> tuple[Token, TokenRow]:
        now = self._clock()
        if not self.knows(by):
            raise Refusal("the token that asks for another is worth nothing any more")
        if sum(self._is_good(row) for row in self._rows.values()) >= MOST:
            raise Refusal(f"there are {MOST} tokens already; revoke some")
        token = Token.new()
        reach = frozenset(map(ServiceName, services)) if services is not None else None
        row = TokenRow(
            id=token.id,
            hash=token.hash,
            name=name,
            kind="session" if kind == "session" else "token",
            scopes=frozenset(scopes),
            services=reach,
            parent=by.token,
            created_by=by.name,
            created_at=now,
            expires_at=end,
            used_at=None,
            revoked_at=None,
        )
        # Before it is written down, so that it goes too if the one that makes it is revoked meanwhile.
        self._rows[row.id] = row
        try:
            await self._write_down(row)
        except BaseException:
            del self._rows[row.id]
            raise
        return token, row

    async def _write_down(self, row: TokenRow) -> None:
        await self._journal.add_token(
            row.id,
            row.hash,
            name=row.name,
            kind=row.kind,
            scopes=row.scopes,
            services=row.services,
            parent=row.parent,
            created_by=row.created_by,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )

    def _family(self, token: str) -> tuple[str, ...]:
        """This one, and all that were made with it, or with those."""
        family = {token: None}
        children: dict[str | None, list[str]] = {}
        for row in self._rows.values():
            children.setdefault(row.parent, []).append(row.id)
        ahead = [token]
        while ahead:
            fresh = children.get(ahead.pop(), ())
            family.update(dict.fromkeys(fresh))
            ahead.extend(fresh)
        return tuple(family)

    def _is_good(self, row: TokenRow) -> bool:
        return row.revoked_at is None and (row.expires_at is None or self._clock() < row.expires_at)

    def _note_use(self, row: TokenRow) -> None:
        now = self._clock()
        if row.used_at is None or now - row.used_at >= USE_NOTED_EVERY:
            self._rows[row.id] = replace(row, used_at=now)
            self._journal.later(lambda entries: entries.token_used(row.id, now))


def _status(row: TokenRow, now: datetime) -> TokenStatus:
    expired = row.expires_at is not None and row.expires_at <= now
    state = "revoked" if row.revoked_at is not None else "expired" if expired else "good"
    return TokenStatus(
        id=row.id,
        name=row.name,
        kind=row.kind,
        scopes=tuple(sorted(row.scopes)),
        services=tuple(sorted(row.services)) if row.services is not None else None,
        state=state,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
    )


def _audit(row: AuditRow) -> AuditStatus:
    return AuditStatus(
        id=str(row.id),
        at=row.at,
        actor=row.actor,
        token=row.token,
        action=row.action,
        service=row.service,
        address=row.address,
        status=row.status,
    )
