"""What was: syncs, releases and events, out of the journal, with who wrote what was followed.

Tells; decides nothing, and never holds up a sync.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict

from reconciler.control.commits import Commits
from reconciler.control.feed import Feed, Listener
from reconciler.control.planning import problem_status
from reconciler.model.delivery import Delivered, delivery
from reconciler.model.names import ReleaseId, ServiceName, SyncId, sha_of
from reconciler.model.notice import Kind
from reconciler.model.package_change import difference
from reconciler.model.refusal import Unknown
from reconciler.model.status import (
    CommitStatus,
    Comparison,
    DeliveryStatus,
    EventStatus,
    PackageStatus,
    ReleaseDetail,
    ReleaseStatus,
    SyncStatus,
)
from reconciler.store.journal import Journal
from reconciler.store.rows import CommitRow, EventRow, Phase, ReleaseRow, SyncRow

COUNTED = 100
"""How many releases of a service its figures are made from."""


class History:
    def __init__(self, journal: Journal, commits: Commits, feed: Feed) -> None:
        self._journal = journal
        self._commits = commits
        self._feed = feed

    async def sync(self, sync: str) -> SyncStatus | None:
        row = await self._journal.sync(SyncId(sync))
        return (await self._syncs([row]))[0] if row is not None else None

    async def syncs(self, limit: int, after: str | None) -> tuple[Sequence[SyncStatus], int]:
        page = await self._journal.syncs(limit, after)
        return await self._syncs(page.items), page.total

    async def releases(self, name: str, limit: int, after: str | None) -> tuple[Sequence[ReleaseStatus], int]:
        page = await self._journal.releases(ServiceName(name), limit, after)
        commits = await self._commits.of(row.revision for row in page.items)
        return [release_status(row, commits) for row in page.items], page.total

    async def release(self, name: str, release: str) -> ReleaseDetail:
        row = await self._row(name, release)
        told = release_status(row, await self._commits.of([row.revision]))
        return ReleaseDetail(
            **told.model_dump(),
            packages=dict(row.facts.get("packages", {})),
            routes_at=f"{row.prefix}/" if row.prefix else None,
            problems=tuple(map(problem_status, row.problems)),
            detail=row.detail,
        )

    async def compare(self, name: str, before: str, after: str) -> Comparison:
        old, new = await self._row(name, before), await self._row(name, after)
        commits = await self._commits.of((old.revision, new.revision))
        packages = difference(old.facts.get("packages", {}), new.facts.get("packages", {}))
        return Comparison(
            before=release_status(old, commits),
            after=release_status(new, commits),
            moved=new.ingredients.moved(old.ingredients),
            packages=tuple(PackageStatus(name=one.name, old=one.old, new=one.new) for one in packages),
        )

    async def delivery(self, name: str) -> DeliveryStatus:
        page = await self._journal.releases(ServiceName(name), COUNTED)
        rows = page.items[::-1]
        commits = await self._commits.of(row.revision for row in rows)
        figures = delivery([_delivered(row, commits) for row in rows if row.phase in (*_SETTLED, Phase.LIVE)])
        return DeliveryStatus(since=rows[0].created_at if rows else None, **asdict(figures))

    async def planned(self, sync: SyncId) -> EventStatus | None:
        """What a sync said that it would do; None where it did not come that far."""
        row = await self._journal.event_of(sync, Kind.SYNC_PLANNED)
        return event_status(row) if row is not None else None

    async def events(self, after: int, service: str | None, limit: int) -> Sequence[EventStatus]:
        rows = await self._journal.events(after, ServiceName(service) if service else None, limit)
        return [event_status(row) for row in rows]

    async def last_events(self, limit: int, service: str | None) -> Sequence[EventStatus]:
        """The newest, the oldest of them first."""
        rows = await self._journal.last_events(ServiceName(service) if service else None, limit)
        return [event_status(row) for row in reversed(rows)]

    def listen(self) -> AbstractContextManager[Listener]:
        return self._feed.listen()

    async def _row(self, name: str, release: str) -> ReleaseRow:
        row = await self._journal.release(ReleaseId(release))
        if row is None or row.service != name:
            raise Unknown(f"{name} has no release {release}")
        return row

    async def _syncs(self, rows: Iterable[SyncRow]) -> list[SyncStatus]:
        rows = list(rows)
        commits = await self._commits.of(row.revision for row in rows)
        return [sync_status(row, commits) for row in rows]


_SETTLED = (Phase.RETIRED, Phase.FAILED, Phase.DRAINING)


def sync_status(row: SyncRow, commits: Mapping[str, CommitRow]) -> SyncStatus:
    # Not `asdict`, which would copy a thousand actions before they are looked at.
    told = SyncStatus.model_validate(row, from_attributes=True)
    return told.model_copy(update={"commit": _commit(row.revision, commits)})


def release_status(row: ReleaseRow, commits: Mapping[str, CommitRow]) -> ReleaseStatus:
    report = row.facts.get("report")
    return ReleaseStatus.model_validate(
        {
            "id": row.id,
            "digest": row.digest,
            "revision": row.revision,
            "commit": _commit(row.revision, commits),
            "phase": row.phase,
            "reason": row.reason,
            "message": row.message,
            "verdict": report.get("verdict") if isinstance(report, Mapping) else None,
            "sync": row.sync,
            "environment": row.environment,
            "phases": row.facts.get("phases", ()),
            "created_at": row.created_at,
            "live_at": row.live_at,
            "retired_at": row.retired_at,
        }
    )


def commit_status(row: CommitRow | None) -> CommitStatus | None:
    return CommitStatus(**asdict(row)) if row is not None else None


def event_status(row: EventRow) -> EventStatus:
    return EventStatus(**asdict(row))


def _commit(revision: str | None, commits: Mapping[str, CommitRow]) -> CommitStatus | None:
    return commit_status(commits.get(sha_of(revision)))


def _delivered(row: ReleaseRow, commits: Mapping[str, CommitRow]) -> Delivered:
    commit = commits.get(sha_of(row.revision))
    return Delivered(
        begun_at=row.created_at,
        committed_at=commit.at if commit is not None else None,
        live_at=row.live_at,
        failed_at=row.phase_at if row.phase is Phase.FAILED else None,
    )
