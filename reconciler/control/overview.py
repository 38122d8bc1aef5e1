"""The platform as the API sees it: told from memory, asked through triggers.

Implements what `reconciler.api` asks for. Shows nothing that a status model does not name.
"""

import platform as machine
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler import __version__
from reconciler.control.actions import Actions
from reconciler.control.boot import REPORTS_SEARCHED, newest_report
from reconciler.control.commits import Commits
from reconciler.control.cron import Cron
from reconciler.control.cron.status import job_status, run_status
from reconciler.control.fleet import Seen
from reconciler.control.folders import Folders
from reconciler.control.history import History, commit_status, event_status, sync_status
from reconciler.control.inbox import Inbox
from reconciler.control.lane import Lane
from reconciler.control.live import Live
from reconciler.control.loop import Loop
from reconciler.control.metrics import Scrape
from reconciler.control.narration import Until
from reconciler.control.planning import Planner, contract_of, problem_status
from reconciler.control.reception import Announcer, Elsewhere, Reception
from reconciler.control.safekeeping import Safekeeping
from reconciler.control.tokens import Tokens
from reconciler.model.failure import Failure, Reason
from reconciler.model.names import ServiceName, SyncId
from reconciler.model.plan_status import PlanStatus
from reconciler.model.run import RunId
from reconciler.model.status import (
    Condition,
    DestinationStatus,
    EnvironmentStatus,
    Outline,
    PlatformStatus,
    ProcessStatus,
    ReleaseStatus,
    RunStatus,
    ServiceStatus,
    SourceStatus,
    SuiteStatus,
    SyncStatus,
    TrafficStatus,
    WorkerStatus,
)
from reconciler.model.verdict import Report
from reconciler.source.followed import Source
from reconciler.store.journal import Journal
from reconciler.worker.processes import Process
from reconciler.worker.served import NOTHING
from reconciler.worker.worker import Worker


class Overview:
    def __init__(
        self,
        loop: Loop,
        mirror: Source,
        journal: Journal,
        folders: Folders,
        planner: Planner,
        actions: Actions,
        keys: Tokens,
        commits: Commits,
        history: History,
        webhooks: Inbox,
        remote: Reception | Elsewhere,
        announcer: Announcer,
        cron: Cron,
        safekeeping: Safekeeping,
        metrics: Scrape,
    ) -> None:
        self._loop = loop
        self._mirror = mirror
        self._journal = journal
        self._folders = folders
        self._planner = planner
        self.actions = actions
        self.keys = keys
        self.history = history
        self._commits = commits
        self.webhooks = webhooks
        self.remote = remote
        self._announcer = announcer
        self._cron = cron
        self.safekeeping = safekeeping
        self.metrics = metrics
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
            last_sync=self._last_sync(),
            destinations=tuple(DestinationStatus(**asdict(each)) for each in self._journal.standings()),
            ready=self.ready(),
            started_at=self._started_at,
        )

    def names(self) -> Sequence[str]:
        return sorted(self._loop.lanes)

    def outline(self, name: str) -> Outline:
        lane = self._loop.lanes[ServiceName(name)]
        return Outline(name, _description(lane), lane.account.conditions)

    def services(self) -> Sequence[ServiceStatus]:
        return [self._service(lane) for _, lane in sorted(self._loop.lanes.items())]

    def service(self, name: str) -> ServiceStatus | None:
        lane = self._loop.lanes.get(ServiceName(name))
        return self._service(lane) if lane is not None else None

    def _service(self, lane: Lane) -> ServiceStatus:
        return _service(lane, self._loop.seen, self._commits, self._cron, self._traffic(lane))

    def _traffic(self, lane: Lane) -> TrafficStatus:
        workers = lane.stage.live.crew.workers if lane.stage.live is not None else []
        return self.metrics.meter.of_late(lane.name, sum((worker.in_hand for worker in workers), NOTHING))

    async def runs(self, name: str, job: str | None, limit: int, after: str | None) -> tuple[Sequence[RunStatus], int]:
        page = await self._journal.runs(ServiceName(name), job, limit, after)
        return [run_status(row) for row in page.items], page.total

    async def run(self, name: str, run: str) -> RunStatus | None:
        row = await self._journal.run(RunId(run))
        return run_status(row) if row is not None and row.service == name else None

    def logs(self, name: str) -> Path | None:
        return self._folders.log(ServiceName(name)) if name in self._loop.lanes else None

    def own_logs(self) -> Path:
        return self._folders.own_log

    async def suite(self, name: str) -> Report | None:
        report = self._loop.lanes[ServiceName(name)].account.report
        if report is None:
            # One that never served: its candidates are in the books.
            page = await self._journal.releases(ServiceName(name), limit=REPORTS_SEARCHED)
            report = newest_report(page.items)
        return report

    async def request_sync(self, kind: str, actor: str, retry: bool = False) -> SyncStatus:
        request = await self._loop.triggers.ask(kind, actor, retry=retry)
        return await self._known(request.sync)

    async def contract(self, name: str) -> Mapping[str, Any] | None:
        live = self._loop.lanes[ServiceName(name)].stage.live
        return await contract_of(live.crew) if live is not None else None

    def announce(self, actor: str, until: Until) -> AsyncGenerator[str, None]:
        return self._announcer.announce(actor, until)

    async def plan(self, ref: str | None, *, routes: bool) -> PlanStatus:
        return await self._planner.plan(ref, routes=routes)

    async def _known(self, sync: SyncId) -> SyncStatus:
        told = await self.history.sync(sync)
        if told is None:
            raise AssertionError(f"sync {sync} was just begun")
        return told

    def _last_sync(self) -> SyncStatus | None:
        row = self._loop.last_sync
        if row is None:
            return None
        commit = self._commits.at_hand(row.revision)
        return sync_status(row, {commit.sha: commit} if commit is not None else {})

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


def _service(lane: Lane, seen: Seen, commits: Commits, cron: Cron, traffic: TrafficStatus) -> ServiceStatus:
    live, account = lane.stage.live, lane.account
    trouble = account.trouble
    # A service that a revision did not touch follows it all the same, without anybody having had to say so.
    attempted = seen.attempted or account.attempted
    in_step = live is not None and trouble is None and not lane.busy and not account.suspended
    return ServiceStatus(
        name=lane.name,
        description=_description(lane),
        path=f"{lane.stage.prefix}/",
        conditions=account.conditions,
        live=_live(live, commits) if live else None,
        candidate=account.candidate,
        revision_attempted=attempted,
        revision_applied=attempted if in_step and account.word.held is None else account.applied,
        revision_changed=account.changed,
        environment=EnvironmentStatus(id=live.environment, packages=dict(live.packages)) if live else None,
        workers=tuple(_worker(worker, live.crew.restarts) for worker in live.crew.workers) if live else (),
        traffic=traffic,
        processes=tuple(_process(process) for process in live.crew.processes.all) if live else (),
        cron=tuple(job_status(duty, next_at) for duty, next_at in cron.duties(lane.name)),
        suite=_suite(account.report) if account.report else None,
        problems=tuple(problem_status(problem) for problem in trouble.problems) if trouble else (),
        detail=trouble.detail if trouble else None,
        events=tuple(map(event_status, account.events)),
    )


def _description(lane: Lane) -> str | None:
    return lane.stage.live.recipe.description if lane.stage.live is not None else None


def _suite(report: Report) -> SuiteStatus:
    return SuiteStatus(verdict=report.verdict.value, summary=report.summary, flaky=report.flaky, release=report.release)


def _live(live: Live, commits: Commits) -> ReleaseStatus:
    return ReleaseStatus(
        id=live.release,
        digest=live.ingredients.digest,
        revision=live.recipe.revision,
        commit=commit_status(commits.at_hand(live.recipe.revision)),
        environment=live.environment,
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


def _process(process: Process) -> ProcessStatus:
    return ProcessStatus(
        name=process.name,
        command=process.line,
        state=process.state,
        pid=process.forked.pid if process.forked is not None else None,
        started_at=process.started_at,
        restarts=process.restarts,
        last_exit=str(process.last_exit) if process.last_exit is not None else None,
    )
