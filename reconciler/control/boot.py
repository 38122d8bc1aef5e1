"""Coming back: take over what runs, start again what should.

The journal says which release of each service is live and which workers were started for it. Workers that still run
(known by id, pid and start time) are taken over without a pause in their work, those of a release that is parked while
its successor is watched too; a live release without workers is started again from its own folder, without git, while
control already answers. Whatever else is found was under way when the former control died, and is thrown away: the next
sync plans it anew.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from reconciler.control.folders import Folders
from reconciler.control.live import Live, Past
from reconciler.control.recipe import Recipe
from reconciler.model.failure import Failure, Reason
from reconciler.model.names import EnvironmentId, ReleaseId, ServiceName
from reconciler.model.verdict import Report
from reconciler.store.journal import Journal, Transaction
from reconciler.store.rows import Phase, ReleaseRow, WorkerRow
from reconciler.store.unusable import StoreUnusable
from reconciler.worker.engine import LocalEngine
from reconciler.worker.forked import Forked, start_time
from reconciler.worker.processes import end_process, names_release
from reconciler.worker.spec import ReleaseSpec, WorkerSockets
from reconciler.worker.worker import Worker
from reconciler.worker.zygote import Zygote
from reconciler.worker.zygotes import Zygotes

log = logging.getLogger(__name__)

STARTS_AT_ONCE = 8
REPORTS_SEARCHED = 20
STRAY_DRAIN = 30.0
INTERRUPTED = "the control plane ended while this was under way"


@dataclass(frozen=True, slots=True)
class Returned:
    live: Live
    past: tuple[Past, ...]
    report: Report | None
    parked: Live | None = None
    window: float = 0.0
    """For how long the live one is still watched."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A release that may have the traffic back until then."""

    row: ReleaseRow
    until: datetime


@dataclass(frozen=True, slots=True)
class Remains:
    """What a former control left behind, and what it takes to begin again."""

    journal: Journal
    folders: Folders
    zygotes: Zygotes
    engine: LocalEngine
    going: set[asyncio.Task[None]] = field(default_factory=set)
    """Workers that nobody wants any more, finishing what they began."""

    async def come_back(self) -> tuple[Returned, ...]:
        """The live releases, each with a crew. No start is waited for: it may hang."""
        live = {row.id: row for row in await self.journal.write(_live_releases)}
        parked = await self.journal.write(partial(_parked_releases, now=datetime.now(UTC)))
        wanted = live | {one.row.id: one.row for one in parked.values()}
        unfinished = {row.id: row for row in await self.journal.unfinished() if row.id not in wanted}
        rows = await self.journal.workers()
        known = live.keys() | {row.id for row in rows}
        for environment in {row.environment for row in (*wanted.values(), *unfinished.values())}:
            self._spawn(self._end_unknown(environment, known))
        found = await asyncio.gather(*(self._find(row, wanted.get(row.release)) for row in rows))
        workers: dict[ReleaseId, list[Worker]] = {}
        for worker in filter(None, found):
            if worker.release in wanted and worker.state in ("starting", "ready"):
                workers.setdefault(worker.release, []).append(worker)
            else:
                self._send_away(worker, unfinished.get(worker.release))
        for row in unfinished.values():
            await self.journal.write(partial(_close_the_books, row=row))
        slots = asyncio.Semaphore(STARTS_AT_ONCE)
        returned = await asyncio.gather(*(self._take_up(row, workers.get(row.id, []), slots) for row in live.values()))
        for one in filter(None, returned):
            one.live.crew.processes.start(again=True)
        return tuple([await self._with_parked(one, parked, workers, slots) for one in returned if one is not None])

    async def _with_parked(
        self,
        returned: Returned,
        parked: Mapping[ServiceName, Parked],
        workers: Mapping[ReleaseId, list[Worker]],
        slots: asyncio.Semaphore,
    ) -> Returned:
        """Only one that still runs is parked: starting it anew is what a watch window is to spare."""
        one = parked.get(returned.live.recipe.service)
        if one is None:
            return returned
        before = None
        if running := workers.get(one.row.id):
            before = await self._take_up(one.row, running, slots)
        if before is None:
            await self.journal.write(partial(_close_the_books, row=one.row))
            return returned
        left = (one.until - datetime.now(UTC)).total_seconds()
        return replace(returned, parked=before.live, window=max(0.0, left))

    async def settle(self) -> None:
        """Wait until whoever was sent away has gone."""
        while self.going:
            await asyncio.wait(self.going)

    async def _end_unknown(self, environment: EnvironmentId | None, known: Collection[str]) -> None:
        """A fork may never have been written down: the disk was full, or control died. Commands follow releases."""
        zygote = await self._zygote(environment)
        children = await zygote.children() if zygote is not None else {}
        for child, pid in children.items():
            release = names_release(child)
            if release is None and child not in known:
                log.warning("a worker that nobody knows is ended", extra={"worker": child})
                Forked(pid, start_time(pid)).kill()
            elif release is not None and release not in known:
                self._spawn(end_process(Forked(pid, start_time(pid)), STRAY_DRAIN))

    async def _zygote(self, environment: EnvironmentId | None) -> Zygote | None:
        """The one that a former control started, if there is one."""
        if environment is None or not self.zygotes.was_started(environment):
            return None
        try:
            return await self.zygotes.of(environment, self.folders.python(environment))
        except Failure:
            return None

    async def _find(self, row: WorkerRow, release: ReleaseRow | None) -> Worker | None:
        """A worker of the journal, if it still is what it was."""
        sockets = WorkerSockets(Path(row.socket), Path(row.private))
        worker = Worker(row.id, row.release, sockets, row.pid or 0, row.started or "", started_at=row.began_at)
        is_another = row.pid is not None and start_time(row.pid) != (row.started or "")
        if not is_another and sockets.control.exists():
            await worker.watch(await self._zygote(release.environment) if release is not None else None)
            if not await worker.introduced() and release is not None and not worker.is_gone:
                # Its pid and start time say who it is; what keeps it from answering may be a long request.
                worker.state = "ready"
            if not worker.is_gone:
                return worker
        await self.journal.worker_gone(row.id, None, datetime.now(UTC))
        return None

    def _send_away(self, worker: Worker, unfinished: ReleaseRow | None = None) -> None:
        """It may be answering what it began: it is asked to go. A candidate never served anybody, and is ended."""
        if unfinished is not None and unfinished.phase is not Phase.DRAINING:
            worker.kill()
        self._spawn(self._see_off(worker))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self.going.add(task)
        task.add_done_callback(self.going.discard)

    async def _see_off(self, worker: Worker) -> None:
        end = await worker.retire(STRAY_DRAIN)
        at = datetime.now(UTC)
        self.journal.later(lambda entries: entries.worker_gone(worker.id, end.status, at))

    async def _take_up(self, row: ReleaseRow, workers: list[Worker], slots: asyncio.Semaphore) -> Returned | None:
        """None where that cannot be: the first sync finds it not running, and makes it anew from git."""
        try:
            return await self._returned(row, workers, slots)
        except StoreUnusable:
            raise
        except Missing as missing:
            log.warning(f"{row.id} cannot start again: {missing}", extra={"service": row.service})
        except Exception:
            log.exception("a release could not be taken up", extra={"service": row.service, "release": row.id})
        for worker in workers:
            self._send_away(worker)
        return None

    async def _returned(self, row: ReleaseRow, workers: list[Worker], slots: asyncio.Semaphore) -> Returned:
        recipe, environment = Recipe.from_plain(row.config), EnvironmentId(row.environment or "")
        spec = recipe.spec(row.id, environment, self.folders)
        if not workers:
            _check_that_it_can_start(spec)
        # Numbers of workers are never used again, also not by a crew that does not remember them.
        crew = self.engine.crew(spec, used=await self.journal.workers_begun(row.id))
        live = Live.again(row, crew, row.live_at or datetime.now(UTC))
        past = tuple(map(Past.of, await self.journal.releases_before(row.service, row.id)))
        newest = await self.journal.releases(row.service, limit=REPORTS_SEARCHED)
        returned = Returned(live, past, newest_report((*newest.items, row)))
        kept = _longest_ready(workers, recipe.replicas)
        for worker in workers:
            if worker not in kept:
                # Of a restart that was under way: it was to take the place of another.
                self._send_away(worker)
        crew.adopt(kept, slots)
        log.info("taken over" if workers else "starts again", extra={"service": row.service, "release": row.id})
        return returned


class Missing(Exception):
    """Something on disk that a release needs."""


def _longest_ready(workers: Iterable[Worker], replicas: int) -> list[Worker]:
    return sorted(workers, key=lambda worker: (worker.state != "ready", worker.started_at))[:replicas]


def _check_that_it_can_start(spec: ReleaseSpec) -> None:
    # An environment's interpreter is a link, which leads nowhere after some upgrades of a machine.
    for path, what in ((spec.python, "its environment's Python"), (spec.code, "its code")):
        if not path.exists():
            raise Missing(f"{what} is missing")


async def close_interrupted_syncs(journal: Journal) -> None:
    """Syncs that nobody will finish; the one that starts now looks at the world afresh in their place."""
    await journal.write(_close_syncs)


def _close_syncs(entries: Transaction) -> None:
    for row in entries.unfinished_syncs():
        entries.finish_sync(row.id, "superseded", datetime.now(UTC), message=INTERRUPTED)
        entries.owe(row.id)


def _live_releases(entries: Transaction) -> tuple[ReleaseRow, ...]:
    rows = (entries.release(service.live) for service in entries.services() if service.live is not None)
    return tuple(row for row in rows if row is not None and row.environment is not None)


def _parked_releases(entries: Transaction, now: datetime) -> dict[ServiceName, Parked]:
    parked = {}
    for service in entries.services():
        row = entries.release(service.parked) if service.live and service.parked else None
        if row is not None and row.environment and service.watched_until and service.watched_until > now:
            parked[service.name] = Parked(row, service.watched_until)
    return parked


def _close_the_books(entries: Transaction, row: ReleaseRow) -> None:
    if row.phase is Phase.DRAINING:
        entries.advance(row.id, Phase.RETIRED, datetime.now(UTC))
    else:
        entries.fail(row.id, Reason.SUPERSEDED, INTERRUPTED, datetime.now(UTC), remember=False)


def newest_report(rows: Iterable[ReleaseRow]) -> Report | None:
    """What a suite concluded last about one of these releases, the newest of which come first."""
    told = next((row.facts["report"] for row in rows if "report" in row.facts), None)
    try:
        return Report.from_json(told) if told is not None else None
    except ValueError:  # written by another version
        return None
