"""Webhooks that are genuine, on their way to a sync.

Each is written down before it is answered; who came so far is then gathered into one request for a sync, so that
neither a burst nor a long sync keeps a sender waiting, and a crash in between loses nothing: what is owed is asked for
again by the next control. One that came before asks for no sync. It has the poll look, which costs a question and finds
whatever may have been missed; only when its sync failed is there another.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from reconciler.control.pace import Pace
from reconciler.control.triggers import Triggers
from reconciler.model.status import WebhookStatus
from reconciler.model.webhook.event import Event, Followed, judge, quoted
from reconciler.store.insisting import STORE_RETRY
from reconciler.store.journal import Journal
from reconciler.store.rows import WebhookRow
from reconciler.store.unusable import StoreUnusable

log = logging.getLogger(__name__)

APART = 1.0
"""Syncs that webhooks ask for are this far apart when more than one comes at a time."""
QUIET_FOR = 0.25
"""When nobody came for so long, all have come."""
LONGEST_GATHERING = 5.0
LOOK_EVERY = 0.05
ACTOR = "a webhook"


class Inbox:
    def __init__(
        self, followed: Followed, journal: Journal, triggers: Triggers, pace: Pace, owed: Iterable[int] = ()
    ) -> None:
        self._followed = followed
        self._journal = journal
        self._triggers = triggers
        self._pace = pace
        self.on_webhook: Callable[[str, str], object] = lambda _provider, _outcome: None
        """Told of each, and what became of it."""
        self._owed = list(owed)
        self._arrived = asyncio.Event()
        self._arrived_at = self._asked_at = -LONGEST_GATHERING
        if self._owed:
            self._arrived.set()

    async def take(self, provider: str, event: Event, body: bytes) -> WebhookStatus:
        """Write down what became of it; durable when this returns."""
        verdict = judge(event, self._followed)
        if verdict.state == "pong":
            self.on_webhook(provider, "pong")
            return _pong(provider, event, verdict.reason)
        row, is_new = await self._journal.receive(
            identity_of(provider, event, body),
            provider,
            quoted(event.delivery),
            quoted(event.name),
            verdict.state,
            verdict.reason,
            datetime.now(UTC),
        )
        self.on_webhook(provider, row.state if is_new else "repeated")
        if row.state == "accepted":
            if is_new:
                self._pace.heard()
                self._owe(row.id)
            else:
                await self._again(row)
        return status_of(row)

    def refused(self, provider: str) -> None:
        """One came that is not genuine."""
        self.on_webhook(provider, "refused")

    async def run(self) -> None:
        """Ask for syncs on behalf of whoever came."""
        while True:
            await self._arrived.wait()
            await self._gather()
            self._arrived.clear()
            self._asked_at = time.monotonic()
            gathered, self._owed = self._owed, []
            try:
                request = await self._triggers.ask("webhook", ACTOR)
                await self._journal.cause(gathered, request.sync)
            except StoreUnusable:
                self._owed = gathered + self._owed
                self._arrived.set()
                await asyncio.sleep(STORE_RETRY)

    async def webhook(self, number: str) -> WebhookStatus | None:
        row = await self._journal.webhook(number)
        return status_of(row) if row is not None else None

    async def webhooks(self, limit: int, after: str | None) -> tuple[Sequence[WebhookStatus], int]:
        page = await self._journal.webhooks(limit, after)
        return [status_of(row) for row in page.items], page.total

    async def _again(self, row: WebhookRow) -> None:
        sync = await self._journal.sync(row.sync) if row.sync is not None else None
        if sync is not None and sync.state == "failed":
            self._owe(row.id)
        else:
            self._pace.look_soon()

    async def _gather(self) -> None:
        """Who comes alone is heard at once. Of many the first is, and all others together, once they have come."""
        if self._since(self._asked_at) >= APART:
            return
        while self._since(self._asked_at) < LONGEST_GATHERING:
            is_over = len(self._owed) == 1 or self._since(self._asked_at) >= APART
            if is_over and self._since(self._arrived_at) >= QUIET_FOR:
                return
            await asyncio.sleep(LOOK_EVERY)

    def _since(self, moment: float) -> float:
        return time.monotonic() - moment

    def _owe(self, number: int) -> None:
        self._owed.append(number)
        self._arrived_at = time.monotonic()
        self._arrived.set()


def identity_of(provider: str, event: Event, body: bytes) -> str:
    """A number that is not signed can be exchanged by whoever saw one delivery, so it is no identity; the body is."""
    own = event.delivery.encode() if event.is_signed_id else f"{event.name}\0".encode() + body
    return hashlib.sha256(f"{provider}\0".encode() + own).hexdigest()


def status_of(row: WebhookRow) -> WebhookStatus:
    return WebhookStatus(
        id=str(row.id),
        provider=row.provider,
        event=row.event,
        delivery=row.delivery,
        state=row.state,
        reason=row.reason,
        received_at=row.received_at,
        repeats=row.repeats,
        repeated_at=row.repeated_at,
        sync=row.sync,
    )


def _pong(provider: str, event: Event, reason: str) -> WebhookStatus:
    """Nothing to remember: a ping may be unsigned, and nothing follows from it."""
    return WebhookStatus(
        id=None,
        provider=provider,
        event=quoted(event.name),
        delivery=quoted(event.delivery),
        state="pong",
        reason=reason,
        received_at=datetime.now(UTC),
    )
