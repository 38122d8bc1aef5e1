"""The platform as the API sees it: told from memory, asked through triggers.

Implements what `reconciler.api` asks for. Shows nothing that a status model does not name.
"""

import platform as machine
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from reconciler import __version__
from reconciler.control.actions import Actions
from reconciler.control.boot import PAST_SEARCHED, newest_report
from reconciler.control.lane import Lane
from reconciler.control.live import Live
from reconciler.control.loop import Loop, Seen
from reconciler.control.planning import Planner, problem_status
from reconciler.control.tokens import Tokens
from reconciler.model.failure import Failure, Reason
from reconciler.model.names import ServiceName, SyncId
from reconciler.model.status import (
    Condition,
    EnvironmentStatus,
    EventStatus,
    PlanStatus,
    PlatformStatus,
    ReleaseStatus,
    ServiceStatus,
    SourceStatus,
    SuiteStatus,
    SyncStatus,
    WorkerStatus,
)
from reconciler.model.verdict import Report
from reconciler.source.mirror import Mirror
from reconciler.store.journal import Journal
from reconciler.store.rows import ReleaseRow, SyncRow
from reconciler.worker.process import Worker


class Overview:
    def __init__(
        self,
        loop: Loop,
        mirror: Mirror,
        journal: Journal,
        logs: Path,
        planner: Planner,
        actions: Actions,
        keys: Tokens,
    ) -> None:
        self._loop = loop
        self._mirror = mirror
        self._journal = journal
        self._logs = logs
        self._planner = planner
        self.actions = actions
        self.keys = keys
        self._started_at = datetime.now(UTC)
        self._source: Condition | None = None

    def ready(self) -> bool:
        return self._loop.first_sync_finished.is_set()

    def status(self) -> PlatformStatus:
        seen = self._loop.seen
        counts = Counter(condition.type for lane in self._loop.lanes.values() for condition in _true(lane))
        return PlatformStatus(
            version=__version__,
            python=machine.python_version(),
            source=SourceStatus(
                url=self._mirror.address.location, branch=self._mirror.branch, condition=self._source_condition()
            ),
            revision_attempted=seen.attempted,
            revision_applied=seen.applied,
            services=len(self._loop.lanes),
            counts=dict(sorted(counts.items())),
            last_sync=_sync(self._loop.last_sync) if self._loop.last_sync else None,
            ready=self.ready(),
            started_at=self._started_at,
        )

    def services(self) -> Sequence[ServiceStatus]:
        return [_service(lane, self._loop.seen) for _, lane in sorted(self._loop.lanes.items())]

    def service(self, name: str) -> ServiceStatus | None:
        lane = self._loop.lanes.get(ServiceName(name))
        return _service(lane, self._loop.seen) if lane is not None else None

    def logs(self, name: str) -> Path | None:
        return self._logs / name if name in self._loop.lanes else None

    async def suite(self, name: str) -> Report | None:
        report = self._loop.lanes[ServiceName(name)].account.report
        if report is None:
            # One that never served: its candidates are in the books.
            page = await self._journal.releases(ServiceName(name), limit=PAST_SEARCHED)
            report = newest_report(page.items)
        return report

    async def request_sync(self, kind: str, actor: str, retry: bool = False) -> SyncStatus:
        request = await self._loop.triggers.ask(kind, actor, retry=retry)
        return await self._known(request.sync)

    async def sync(self, sync: str) -> SyncStatus | None:
        row = await self._journal.sync(SyncId(sync))
        return _sync(row) if row is not None else None

    async def syncs(self, limit: int, after: str | None) -> tuple[Sequence[SyncStatus], int]:
        page = await self._journal.syncs(limit, after)
        return [_sync(row) for row in page.items], page.total

    async def releases(self, name: str, limit: int, after: str | None) -> tuple[Sequence[ReleaseStatus], int]:
        page = await self._journal.releases(ServiceName(name), limit, after)
        return [_release_row(row) for row in page.items], page.total

    async def plan(self, ref: str | None, *, routes: bool) -> PlanStatus:
        return await self._planner.plan(ref, routes=routes)

    async def _known(self, sync: SyncId) -> SyncStatus:
        row = await self._journal.sync(sync)
        if row is None:
            raise AssertionError(f"sync {sync} was just begun")
        return _sync(row)

    def _source_condition(self) -> Condition:
        """Whether git could be followed; `since` moves when the answer does."""
        fresh = _source(self._loop.seen.trouble, self._loop.seen.attempted)
        if self._source is None or (self._source.status, self._source.reason) != (fresh.status, fresh.reason):
            self._source = fresh
        else:
            self._source = fresh.model_copy(update={"since": self._source.since})
        return self._source


def _source(trouble: Failure | None, attempted: str | None) -> Condition:
    now = datetime.now(UTC)
    if trouble is not None:
        return Condition(type="Ready", status="False", reason=trouble.reason, message=trouble.message, since=now)
    if attempted is None:
        return Condition(type="Ready", status="Unknown", reason="Progressing", message="Not fetched yet.", since=now)
    message = f"{attempted} was fetched."
    return Condition(type="Ready", status="True", reason=Reason.LIVE, message=message, since=now)


def _true(lane: Lane) -> tuple[Condition, ...]:
    return tuple(condition for condition in lane.account.conditions if condition.status == "True")


def _service(lane: Lane, seen: Seen) -> ServiceStatus:
    live, account = lane.stage.live, lane.account
    trouble = account.trouble
    # A service that a revision did not touch follows it all the same, without anybody having had to say so.
    attempted = seen.attempted or account.attempted
    in_step = live is not None and trouble is None and not lane.busy and not account.suspended
    return ServiceStatus(
        name=lane.name,
        description=live.recipe.description if live else None,
        path=f"{lane.stage.prefix}/",
        conditions=account.conditions,
        live=_live(live) if live else None,
        candidate=account.candidate,
        revision_attempted=attempted,
        revision_applied=attempted if in_step and account.word.held is None else account.applied,
        revision_changed=account.changed,
        environment=EnvironmentStatus(id=live.environment, packages=dict(live.packages)) if live else None,
        workers=tuple(_worker(worker, live.crew.restarts) for worker in live.crew.workers) if live else (),
        suite=_suite(account.report) if account.report else None,
        problems=tuple(problem_status(problem) for problem in trouble.problems) if trouble else (),
        detail=trouble.detail if trouble else None,
        events=tuple(EventStatus(**asdict(event)) for event in account.events),
    )


def _suite(report: Report) -> SuiteStatus:
    return SuiteStatus(verdict=report.verdict.value, summary=report.summary, flaky=report.flaky, release=report.release)


def _live(live: Live) -> ReleaseStatus:
    return ReleaseStatus(
        id=live.release,
        digest=live.ingredients.digest,
        revision=live.recipe.revision,
        phase="live",
        created_at=live.created_at,
        live_at=live.since,
    )


def _worker(worker: Worker, restarts: int) -> WorkerStatus:
    return WorkerStatus(
        id=worker.id,
        release=worker.release,
        pid=worker.pid,
        state=worker.state,
        started_at=worker.started_at,
        restarts=restarts,
    )


def _sync(row: SyncRow) -> SyncStatus:
    return SyncStatus.model_validate(
        {
            "id": row.id,
            "trigger": row.trigger,
            "revision": row.revision,
            "state": row.state,
            "requested_at": row.requested_at,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "message": row.message,
            "actions": row.actions,
            "kept": row.kept,
            "phases": row.phases,
        }
    )


def _release_row(row: ReleaseRow) -> ReleaseStatus:
    return ReleaseStatus(
        id=row.id,
        digest=row.digest,
        revision=row.revision,
        phase=row.phase,
        reason=row.reason,
        message=row.message,
        created_at=row.created_at,
        live_at=row.live_at,
        retired_at=row.retired_at,
    )
