"""What the API asks of the platform.

Control implements it; the API knows nothing else of it. The plain methods answer from memory at once, also
with thousands of services; the others may take their time.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from reconciler.api.git import Remote
from reconciler.control.narration import Until
from reconciler.model.access import Caller, Scope
from reconciler.model.access_status import AuditStatus, NewToken, TokenStatus
from reconciler.model.failure import UnknownRevision as UnknownRevision
from reconciler.model.notice import Notice
from reconciler.model.plan_status import PlanStatus
from reconciler.model.secret_status import KeyTaken, SecretHistory, SecretStatus, SecretTaken
from reconciler.model.status import (
    ActionTaken,
    Comparison,
    DeliveryStatus,
    EventStatus,
    Outline,
    PlatformStatus,
    ReleaseDetail,
    ReleaseStatus,
    RunStatus,
    ServiceStatus,
    SyncStatus,
    WebhookStatus,
)
from reconciler.model.verdict import Report
from reconciler.model.webhook.event import Event


class Actions(Protocol):
    """What a person may ask of one service. All raise `Refusal`, and `Unknown` for what is not there."""

    async def rollback(self, name: str, to: str | None, actor: str) -> ActionTaken: ...

    async def suspend(self, name: str, actor: str) -> ActionTaken: ...

    async def resume(self, name: str, actor: str) -> ActionTaken: ...

    async def restart(self, name: str, actor: str) -> ActionTaken: ...

    async def test(self, name: str) -> Report: ...

    async def run(self, name: str, job: str, actor: str) -> RunStatus:
        """Begin a run of a cron job; it goes on when this returns."""
        ...


class Keys(Protocol):
    """Access tokens, and the log of what was done with them."""

    def recognise(self, text: str) -> Caller | None: ...

    def knows(self, caller: Caller) -> bool:
        """Whether somebody who was recognised before still would be."""
        ...

    async def create(
        self,
        name: str,
        scopes: Collection[Scope],
        services: Collection[str] | None,
        lasts: timedelta | None,
        by: Caller,
    ) -> NewToken: ...

    async def sign_in(self, caller: Caller) -> str: ...

    async def revoke(self, token: str) -> TokenStatus: ...

    def listed(self) -> list[TokenStatus]: ...

    async def record(
        self, caller: Caller | None, action: str, service: str | None, address: str, status: int
    ) -> None: ...

    async def audits(self, limit: int, after: str | None) -> tuple[list[AuditStatus], int]:
        """The newest first, those older than `after`; and how many there are in all."""
        ...


class Feed(Protocol):
    """Every notice from now on, in order."""

    missed: int
    """How many were lost, since nobody took them in time."""

    async def __anext__(self) -> Notice: ...


class History(Protocol):
    """What was. Raises `Unknown` for a release that is not there."""

    async def sync(self, sync: str) -> SyncStatus | None: ...

    async def syncs(self, limit: int, after: str | None) -> tuple[Sequence[SyncStatus], int]:
        """The newest first, those older than `after`; and how many there are in all."""
        ...

    async def releases(self, name: str, limit: int, after: str | None) -> tuple[Sequence[ReleaseStatus], int]:
        """The newest first, those older than `after`; and how many there are in all."""
        ...

    async def release(self, name: str, release: str) -> ReleaseDetail: ...

    async def compare(self, name: str, before: str, after: str) -> Comparison: ...

    async def delivery(self, name: str) -> DeliveryStatus: ...

    async def events(self, after: int, service: str | None, limit: int) -> Sequence[EventStatus]:
        """In order, those after one."""
        ...

    async def last_events(self, limit: int, service: str | None) -> Sequence[EventStatus]:
        """The newest, the oldest of them first."""
        ...

    def listen(self) -> AbstractContextManager[Feed]: ...


class Webhooks(Protocol):
    async def take(self, provider: str, event: Event, body: bytes) -> WebhookStatus:
        """What became of one that is genuine; written down when this returns."""
        ...

    def refused(self, provider: str) -> None:
        """One came that is not genuine."""

    async def webhook(self, number: str) -> WebhookStatus | None: ...

    async def webhooks(self, limit: int, after: str | None) -> tuple[Sequence[WebhookStatus], int]:
        """The newest first, those older than `after`; and how many there are in all."""
        ...


class Safekeeping(Protocol):
    """The encrypted store. All that change it raise `Refusal`; there is no way to read a value."""

    def secrets(self) -> Sequence[SecretStatus]:
        """All that are set, in name order."""

    def history(self, name: str) -> SecretHistory:
        """Raises `Unknown`."""

    async def set(self, name: str, text: str, actor: str) -> SecretTaken:
        """Raises `Unusable` for what cannot be a value."""

    async def remove(self, name: str, actor: str) -> SecretTaken:
        """Raises `Unknown`."""

    async def rotate_key(self, actor: str) -> KeyTaken: ...


class Metrics(Protocol):
    async def text(self) -> bytes:
        """All that is counted, in Prometheus's text format."""
        ...


class Platform(Protocol):
    @property
    def metrics(self) -> Metrics: ...

    @property
    def webhooks(self) -> Webhooks: ...

    @property
    def actions(self) -> Actions: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def history(self) -> History: ...

    @property
    def remote(self) -> Remote:
        """What can be pushed to."""
        ...

    @property
    def safekeeping(self) -> Safekeeping: ...

    def ready(self) -> bool:
        """The first sync is finished."""

    def status(self) -> PlatformStatus: ...

    def names(self) -> Sequence[str]:
        """Of all services, in order."""

    def outline(self, name: str) -> Outline:
        """Of a service that exists: costs next to nothing."""

    def services(self) -> Sequence[ServiceStatus]:
        """All of them, in name order, whole: costs as much as there are."""

    def service(self, name: str) -> ServiceStatus | None: ...

    def logs(self, name: str) -> Path | None:
        """The folder of a service's log files; it need not exist yet. None: no such service."""

    def own_logs(self) -> Path:
        """The folder of what the platform itself says."""

    async def suite(self, name: str) -> Report | None:
        """What the suite of a service that exists concluded last, in full; None before it was played."""

    async def request_sync(self, kind: str, actor: str, retry: bool = False) -> SyncStatus: ...

    async def contract(self, name: str) -> Mapping[str, Any] | None:
        """The OpenAPI document of a service that exists; None when it has none."""
        ...

    def announce(self, actor: str, until: Until) -> AsyncGenerator[str, None]:
        """Ask for a sync as a push does, and tell it line by line."""
        ...

    async def runs(self, name: str, job: str | None, limit: int, after: str | None) -> tuple[Sequence[RunStatus], int]:
        """Of a service that may be gone: the newest first, those older than `after`; and how many there are."""
        ...

    async def run(self, name: str, run: str) -> RunStatus | None: ...

    async def plan(self, ref: str | None, *, routes: bool) -> PlanStatus:
        """Raises `UnknownRevision`. Without routes, nothing is started to look at it."""
        ...
