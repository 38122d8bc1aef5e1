"""Coming back: take over what runs, start again what should.

The journal says which release of each service is live and which workers were started for it. Workers that
still run (known by id, pid and start time) are taken over without a pause in their work; a live release
without workers is started again from its own folder, without git. Whatever else is found was under way when
the former control died, and is thrown away: the next sync plans it anew.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from reconciler.control.folders import Folders
from reconciler.control.live import Live, Past
from reconciler.control.loop import Failed, Words
from reconciler.control.recipe import Recipe
from reconciler.control.stage import PAST_KEPT
from reconciler.model.failure import Failure, Reason, Stalled
from reconciler.model.names import Digest, EnvironmentId, ServiceName
from reconciler.model.verdict import Report
from reconciler.model.word import Word
from reconciler.store.journal import Journal, Transaction
from reconciler.store.rows import Phase, ReleaseRow, WorkerRow
from reconciler.worker.crew import LocalEngine
from reconciler.worker.process import Worker, start_time
from reconciler.worker.spec import WorkerSockets
from reconciler.worker.zygote import Zygote, Zygotes

log = logging.getLogger(__name__)

STARTS_AT_ONCE = 8
PAST_SEARCHED = 20
INTERRUPTED = "the control plane ended while this was under way"


@dataclass(frozen=True, slots=True)
class Returned:
    live: Live
    past: tuple[Past, ...]
    report: Report | None


async def come_back(journal: Journal, folders: Folders, zygotes: Zygotes, engine: LocalEngine) -> tuple[Returned, ...]:
    """The live releases of a former control, each with a crew."""
    releases = await journal.write(_live_releases)
    workers = await _find_workers(journal, folders, zygotes, releases)
    await _clear_away(journal, workers, releases)
    slots = asyncio.Semaphore(STARTS_AT_ONCE)
    lives = await asyncio.gather(
        *(_bring_back(row, _of(row, workers), journal, folders, engine, slots) for row in releases)
    )
    return tuple(live for live in lives if live is not None)


async def failed_before(journal: Journal) -> Failed:
    """What a former control tried in vain; it stays so until a digest changes or somebody asks."""
    failed: dict[ServiceName, dict[Digest, Failure]] = {}
    for row in await journal.failed_digests():
        told = Stalled(row.reason, row.message, problems=row.problems, detail=row.detail)
        failed.setdefault(row.service, {})[row.digest] = told
    return dict(failed)


async def words_before(journal: Journal) -> Words:
    """What people had said about services, which holds until they or git say something new."""
    rows = await journal.services()
    return {row.name: Word(row.suspended, row.held, row.held_digest) for row in rows if row.suspended or row.held}


async def close_interrupted_syncs(journal: Journal) -> None:
    """Syncs that nobody will finish; the one that starts now looks at the world afresh in their place."""
    for row in await journal.unfinished_syncs():
        await journal.finish_sync(row.id, "superseded", datetime.now(UTC), message=INTERRUPTED)


def _live_releases(entries: Transaction) -> tuple[ReleaseRow, ...]:
    rows = (entries.release(service.live) for service in entries.services() if service.live is not None)
    return tuple(row for row in rows if row is not None and row.environment is not None)


def _of(release: ReleaseRow, workers: Iterable[Worker]) -> list[Worker]:
    return [worker for worker in workers if worker.release == release.id]


async def _find_workers(
    journal: Journal, folders: Folders, zygotes: Zygotes, releases: Sequence[ReleaseRow]
) -> list[Worker]:
    """Every worker of the journal that still is what it was."""
    environments = {row.id: row.environment for row in releases}
    found = []
    for row in await journal.workers():
        zygote = None
        if (environment := environments.get(row.release)) is not None and Path(row.socket).exists():
            zygote = await _zygote(zygotes, environment, folders)
        worker = await _find(row, zygote)
        if worker is None:
            await journal.worker_gone(row.id, None, datetime.now(UTC))
        else:
            found.append(worker)
    return found


async def _zygote(zygotes: Zygotes, environment: EnvironmentId, folders: Folders) -> Zygote | None:
    try:
        return await zygotes.of(environment, folders.python(environment))
    except Failure:
        return None


async def _find(row: WorkerRow, zygote: Zygote | None) -> Worker | None:
    sockets = WorkerSockets(Path(row.socket), Path(row.private))
    worker = Worker(row.id, row.release, sockets, row.pid or 0, row.started or "", started_at=row.began_at)
    if row.pid is not None and start_time(row.pid) != (row.started or ""):
        return None
    await worker.watch(zygote)
    if not await worker.introduced() or worker.is_gone:
        return None
    return worker


async def _clear_away(journal: Journal, workers: list[Worker], releases: Sequence[ReleaseRow]) -> None:
    """End what nobody asked for, and close what was under way in the books."""
    wanted = {row.id for row in releases}
    stray = [worker for worker in workers if worker.release not in wanted or worker.state != "ready"]
    for worker in stray:
        workers.remove(worker)
        await journal.worker_gone(worker.id, None, datetime.now(UTC))
        # It may still be answering what it began before control died: it is asked to go, not killed.
        asyncio.get_running_loop().create_task(worker.retire(30.0))
    for row in await journal.unfinished():
        if row.id not in wanted:
            await journal.write(partial(_close_the_books, row=row))


def _close_the_books(entries: Transaction, row: ReleaseRow) -> None:
    if row.phase is Phase.DRAINING:
        entries.advance(row.id, Phase.RETIRED, datetime.now(UTC))
    else:
        entries.fail(row.id, Reason.SUPERSEDED, INTERRUPTED, datetime.now(UTC), remember=False)


async def _bring_back(
    row: ReleaseRow,
    workers: list[Worker],
    journal: Journal,
    folders: Folders,
    engine: LocalEngine,
    slots: asyncio.Semaphore,
) -> Returned | None:
    recipe, environment = Recipe.from_plain(row.config), EnvironmentId(row.environment or "")
    # Numbers of workers are never used again, also not by a crew that does not remember them.
    crew = engine.crew(recipe.spec(row.id, environment, folders), used=await journal.workers_begun(row.id))
    try:
        if workers:
            await crew.adopt(workers)
            log.info("taken over", extra={"service": row.service, "release": row.id})
        else:
            async with slots:
                await crew.start()
            log.info("started again", extra={"service": row.service, "release": row.id})
    except Failure as failure:
        # The first sync finds it not running, and makes it anew from git.
        log.warning(failure.message, extra={"service": row.service, "release": row.id, "reason": failure.reason})
        return None
    live = Live(
        row.id,
        row.ingredients,
        recipe,
        environment,
        row.facts.get("packages", {}),
        crew,
        row.created_at,
        row.live_at or datetime.now(UTC),
    )
    page = await journal.releases(row.service, limit=PAST_SEARCHED)
    return Returned(live, _past(page.items, row), newest_report(page.items))


def newest_report(rows: Iterable[ReleaseRow]) -> Report | None:
    """What a suite concluded last about one of these releases, the newest of which come first."""
    told = next((row.facts["report"] for row in rows if "report" in row.facts), None)
    try:
        return Report.from_json(told) if told is not None else None
    except ValueError:  # written by another version
        return None


def _past(rows: Iterable[ReleaseRow], live: ReleaseRow) -> tuple[Past, ...]:
    """Releases it could go back to, the newest last."""
    once_live = [
        row
        for row in rows
        if row.live_at is not None and row.id != live.id and row.environment and row.phase is not Phase.FAILED
    ]
    return tuple(Past(row.id, EnvironmentId(row.environment or "")) for row in reversed(once_live[:PAST_KEPT]))
