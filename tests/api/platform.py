"""A platform to ask: fixed answers from memory, in the shape that control gives."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

from reconciler.api.git import Remote
from reconciler.api.platform import UnknownRevision
from reconciler.control.feed import Listener
from reconciler.control.narration import Until
from reconciler.control.reception import Elsewhere
from reconciler.control.tokens import Tokens
from reconciler.model.plan_status import PlannedAction, PlanStatus
from reconciler.model.refusal import Refusal, Unknown
from reconciler.model.secret_status import KeyTaken, SecretHistory, SecretStatus, SecretTaken, SecretVersionStatus
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
    SourceStatus,
    SyncStatus,
    WebhookStatus,
)
from reconciler.model.unusable import Unusable
from reconciler.model.verdict import Report
from reconciler.model.webhook.event import Event
from reconciler.store.journal import Journal
from reconciler.store.rows import AuditRow, Page, TokenRow
from tests.api.statuses import FAILED, PASSED, REVISION, SINCE, condition, happened, run, sync
from tests.api.statuses import release as released


class Wishes:
    """Carries out whatever is asked, but for releases and services that are not there."""

    def __init__(self, platform: "Still") -> None:
        self._platform = platform
        self.asked: list[tuple[str, str, str | None]] = []

    async def rollback(self, name: str, to: str | None, actor: str) -> ActionTaken:
        if to == "nothing-1":
            raise Refusal("nothing-1 is not kept any more")
        return self._taken("rollback", name, to)

    async def suspend(self, name: str, actor: str) -> ActionTaken:
        return self._taken("suspend", name)

    async def resume(self, name: str, actor: str) -> ActionTaken:
        return self._taken("resume", name)

    async def restart(self, name: str, actor: str) -> ActionTaken:
        return self._taken("restart", name)

    async def test(self, name: str) -> Report:
        self._taken("restart", name)
        return FAILED if name == "red" else PASSED

    async def run(self, name: str, job: str, actor: str) -> RunStatus:
        if job != "tidy":
            raise Unknown(f"{name} has no job {job}")
        if name == "red":
            raise Refusal("tidy of red is running")
        self._taken("restart", name)
        return run(name, "running")

    def _taken(
        self, action: Literal["rollback", "suspend", "resume", "restart"], name: str, to: str | None = None
    ) -> ActionTaken:
        if name not in self._platform.all:
            raise Unknown(f"there is no service {name}")
        self.asked.append((action, name, to))
        return ActionTaken(
            service=name, action=action, changed=True, message=f"{name}: {action} done", release=to or f"{name}-1"
        )


class Book:
    """What a journal keeps of tokens, without a disk."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    async def tokens(self) -> tuple[TokenRow, ...]:
        return ()

    async def add_token(self, token: str, hashed: str, **facts: Any) -> None:
        pass

    async def revoke_tokens(self, tokens: Sequence[str], at: datetime) -> None:
        pass

    async def audit(self, at: datetime, actor: str, action: str, **facts: Any) -> None:
        self.lines.append({"id": len(self.lines) + 1, "at": at, "actor": actor, "action": action, **facts})

    async def audits(self, limit: int, after: str | None = None) -> Page[AuditRow]:
        rows = [AuditRow(**line) for line in reversed(self.lines) if after is None or line["id"] < int(after)]
        return Page(tuple(rows[:limit]), len(self.lines), None)

    def later(self, step: object) -> None:
        pass


class Past:
    """What was, as fixed as everything else; and listeners for tests to tell things to."""

    def __init__(self, platform: "Still") -> None:
        self._platform = platform
        self.listeners: list[Listener] = []
        self.told = [happened(number) for number in range(1, 4)]

    async def sync(self, sync: str) -> SyncStatus | None:
        return next((each for each in self._platform.past if each.id == sync), None)

    async def syncs(self, limit: int, after: str | None) -> tuple[Sequence[SyncStatus], int]:
        past = self._platform.past
        ids = [each.id for each in past]
        start = ids.index(after) + 1 if after in ids else 0
        return past[start : start + limit], len(past)

    async def releases(self, name: str, limit: int, after: str | None) -> tuple[Sequence[ReleaseStatus], int]:
        every = [released(name, 2, phase="failed", reason="TestsFailed", message="2 of 5 cases"), released(name, 1)]
        start = [each.id for each in every].index(after) + 1 if after else 0
        return every[start : start + limit], len(every)

    async def release(self, name: str, release: str) -> ReleaseDetail:
        if release not in (f"{name}-1", f"{name}-2"):
            raise Unknown(f"{name} has no release {release}")
        told = released(name, int(release.rpartition("-")[2]))
        return ReleaseDetail(**told.model_dump(), packages={"fastapi": "0.165.0"}, routes_at=f"/api/{name}/")

    async def compare(self, name: str, before: str, after: str) -> Comparison:
        old, new = await self.release(name, before), await self.release(name, after)
        return Comparison(before=old, after=new, moved=("code",), packages=())

    async def delivery(self, name: str) -> DeliveryStatus:
        return DeliveryStatus(
            since=SINCE, attempts=2, deploys=1, lead_time=4.0, failure_share=0.5, time_to_restore=None
        )

    async def events(self, after: int, service: str | None, limit: int) -> Sequence[EventStatus]:
        return [each for each in self.told if each.id > after and service in (None, each.service)][:limit]

    async def last_events(self, limit: int, service: str | None) -> Sequence[EventStatus]:
        return [each for each in self.told if service in (None, each.service)][-limit:]

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        listener = Listener()
        self.listeners.append(listener)
        try:
            yield listener
        finally:
            self.listeners.remove(listener)


class NoWebhooks:
    """One came, long ago."""

    async def take(self, provider: str, event: Event, body: bytes) -> WebhookStatus:
        raise AssertionError(f"a webhook of {provider}")

    def refused(self, provider: str) -> None:
        return

    async def webhook(self, number: str) -> WebhookStatus | None:
        if number != "1":
            return None
        facts = {"provider": "github", "event": "push", "delivery": "guid", "state": "accepted", "reason": "a push"}
        return WebhookStatus.model_validate({"id": number, **facts, "received_at": SINCE, "sync": "1"})

    async def webhooks(self, limit: int, after: str | None) -> tuple[Sequence[WebhookStatus], int]:
        return (), 0


class NoMetrics:
    async def text(self) -> bytes:
        return b"# HELP reconciler_ready 1 once the first sync is finished.\n"


class Safe:
    """Keeps one secret for ever, and says that it took whatever it is given."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def secrets(self) -> Sequence[SecretStatus]:
        return [SecretStatus(name="STRIPE_KEY", version=2, set_at=SINCE, set_by="admin", used_by=("tasks",))]

    def history(self, name: str) -> SecretHistory:
        if name != "STRIPE_KEY":
            raise Unknown(f"there never was a secret {name}")
        told = [
            SecretVersionStatus(version=each, at=SINCE, by="admin", removed=False, kept=each == 2) for each in (1, 2)
        ]
        return SecretHistory(name=name, versions=tuple(told))

    async def set(self, name: str, text: str, actor: str) -> SecretTaken:
        if not text:
            raise Unusable("the value is empty")
        if name == "LOCKED":
            raise Refusal("the secrets' key file is missing; restore it from a copy")
        self.asked.append(("set", name, text))
        return SecretTaken(name=name, version=3, changed=True, message=f"{name} is set", warnings=("it is poor",))

    async def remove(self, name: str, actor: str) -> SecretTaken:
        if name != "STRIPE_KEY":
            raise Unknown(f"there is no secret {name}")
        self.asked.append(("remove", name, actor))
        return SecretTaken(name=name, version=3, changed=True, message=f"{name} is removed")

    async def rotate_key(self, actor: str) -> KeyTaken:
        self.asked.append(("rotate", "", actor))
        return KeyTaken(key="0123456789abcdef")


class Still:
    """A platform in which nothing happens but what a test does to it."""

    def __init__(self, *services: ServiceStatus, logs: Path = Path("/nonexistent"), syncs: int = 3) -> None:
        self.all = {each.name: each for each in sorted(services, key=lambda each: each.name)}
        self.folder = logs
        self.is_ready = True
        self.source_is_good = True
        self.past = [sync(number) for number in range(syncs, 0, -1)]
        self.history = Past(self)
        self.asked: list[tuple[str, str, bool]] = []
        self.actions = Wishes(self)
        self.book = Book()
        self.keys = Tokens(cast("Journal", self.book))
        self.webhooks = NoWebhooks()
        self.remote: Remote = Elsewhere("https://git.example.com/services.git")
        self.safekeeping = Safe()
        self.metrics = NoMetrics()

    def ready(self) -> bool:
        return self.is_ready

    def status(self) -> PlatformStatus:
        trouble = condition("Ready", "False", "SourceUnavailable", "The repository cannot be reached.")
        return PlatformStatus(
            version="0.1.0",
            python="3.11.7",
            source=SourceStatus(
                url="/repository", branch="main", condition=condition() if self.source_is_good else trouble
            ),
            revision_attempted=REVISION,
            revision_applied=REVISION,
            services=len(self.all),
            counts={"Ready": len(self.all)},
            last_sync=self.past[0] if self.past else None,
            ready=self.is_ready,
            started_at=SINCE,
        )

    async def runs(self, name: str, job: str | None, limit: int, after: str | None) -> tuple[Sequence[RunStatus], int]:
        found = [] if name not in (*self.all, "gone") or job == "other" else [run(name)]
        return found, len(found)

    async def run(self, name: str, run_id: str) -> RunStatus | None:
        known = run(name)
        return known if known.id == run_id else None

    def names(self) -> Sequence[str]:
        return tuple(self.all)

    def outline(self, name: str) -> Outline:
        told = self.all[name]
        return Outline(name, told.description, told.conditions)

    def services(self) -> Sequence[ServiceStatus]:
        return tuple(self.all.values())

    def service(self, name: str) -> ServiceStatus | None:
        return self.all.get(name)

    async def announce(self, actor: str, until: Until) -> AsyncGenerator[str, None]:
        yield f"{actor} waits until {until}"
        yield "done"

    async def suite(self, name: str) -> Report | None:
        return PASSED if name in self.all else None

    def logs(self, name: str) -> Path | None:
        return self.folder / name if name in self.all else None

    def own_logs(self) -> Path:
        return self.folder / "_platform"

    async def request_sync(self, kind: str, actor: str, retry: bool = False) -> SyncStatus:
        self.asked.append((kind, actor, retry))
        self.past.insert(0, sync(len(self.past) + 1, "waiting"))
        return self.past[0]

    async def contract(self, name: str) -> dict[str, Any] | None:
        return {"openapi": "3.1.0", "paths": {}} if name != "plain" else None

    async def plan(self, ref: str | None, *, routes: bool) -> PlanStatus:
        if ref == "unknown":
            raise UnknownRevision("there is no revision unknown")
        replaced = PlannedAction(service="tasks", verb="replace", why="code changed", moved=("code",))
        kept = PlannedAction(service="notes", verb="keep", why="unchanged")
        return PlanStatus(revision=REVISION, actions=(replaced, kept))
