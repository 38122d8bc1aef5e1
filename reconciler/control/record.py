"""What becomes of a sync: told as it happens, and written down as soon as that can be done.

The store may be full or away for a while, which is no reason to forget how a sync ended. Refuses to decide anything.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from reconciler.control.feed import Feed
from reconciler.control.fleet import Seen
from reconciler.control.lane import Lane
from reconciler.control.order import Outcome
from reconciler.control.stopwatch import Stopwatch, in_seconds
from reconciler.control.triggers import Request
from reconciler.control.wanted import Reading
from reconciler.model.names import ServiceName, SyncId
from reconciler.model.notice import Kind
from reconciler.model.plan import Action, Verb
from reconciler.model.status import ActionStatus
from reconciler.store.insisting import insist
from reconciler.store.journal import Journal, Transaction
from reconciler.store.rows import SyncRow
from reconciler.store.unusable import StoreUnusable

log = logging.getLogger(__name__)

State = Literal["done", "failed", "superseded"]

ODDITIES_TOLD = 3


class Record:
    def __init__(
        self,
        journal: Journal,
        feed: Feed,
        seen: Callable[[], Seen],
        spawn: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        self.last_sync: SyncRow | None = None
        self.first_sync_finished = asyncio.Event()
        self._journal = journal
        self._feed = feed
        self._seen = seen
        self._spawn = spawn
        self._newest = 0

    def began(self, request: Request) -> None:
        at = datetime.now(UTC)
        self._journal.later(lambda entries: entries.start_sync(request.sync, at))
        message = f"asked for by {request.actor}"
        self._feed.happened(Kind.SYNC_STARTED, message, sync=request.sync, data={"trigger": request.kind})

    def planned(self, request: Request, reading: Reading, actions: tuple[Action, ...]) -> None:
        told = [_in_short(action) for action in actions if action.verb is not Verb.KEEP]
        kept = len(reading.wishes) - sum(1 for action in actions if action.verb not in (Verb.KEEP, Verb.REMOVE))
        self._feed.happened(
            Kind.SYNC_PLANNED,
            f"{len(told)} to do, {kept} to keep",
            sync=request.sync,
            revision=str(reading.revision),
            data={"actions": told, "kept": kept},
        )

    def acted(self, action: Action, request: Request, outcome: Outcome, lane: Lane | None) -> None:
        failure = outcome.failure
        told = {
            "verb": action.verb.value,
            "outcome": outcome.state,
            "reason": failure.reason if failure else None,
            "message": failure.message if failure else None,
            "path": f"{lane.stage.prefix}/" if lane is not None else None,
            "phases": in_seconds(outcome.phases, action.service),
        }
        message = failure.message if failure else outcome.state
        self._feed.passes(Kind.ACTION_FINISHED, message, service=action.service, sync=request.sync, data=told)

    def is_newest(self, request: Request) -> bool:
        """Syncs may end in another order than they began; an older one has nothing to say about the present."""
        if int(request.sync) < self._newest:
            return False
        self._newest = int(request.sync)
        return True

    async def finish(
        self,
        request: Request,
        state: State,
        watch: Stopwatch,
        *,
        revision: str | None = None,
        message: str | None = None,
        actions: tuple[ActionStatus, ...] = (),
        kept: int = 0,
    ) -> None:
        end = partial(
            _write_end,
            sync=request.sync,
            state=state,
            at=datetime.now(UTC),
            message=message,
            actions=[one.model_dump(mode="json") for one in actions],
            kept=kept,
            phases=[phase.model_dump(mode="json") for phase in watch.phases],
        )
        seconds = sum(phase.seconds for phase in watch.phases if phase.service is None)
        told: dict[str, Any] = {"state": state, "seconds": seconds, "phases": in_seconds(watch.phases)}
        told.update(Counter(one.outcome for one in actions))
        writing = asyncio.create_task(self._write_down(request, end))
        # From here on it has its place in the journal, before the word of it: whoever can ask what he missed finds it
        # written down when he hears of it.
        await asyncio.sleep(0)
        self._feed.happened(Kind.SYNC_FINISHED, message or state, sync=request.sync, revision=revision, data=told)
        try:
            await writing
        except StoreUnusable:
            log.exception("a sync could not be written down yet", extra={"sync": request.sync})
            # Whoever waits for this sync asks the journal, and would wait for ever.
            again = partial(self._write_down, request, end)
            self._spawn(insist(again, "the end of a sync has to wait", sync=request.sync))
        self.first_sync_finished.set()

    async def _write_down(self, request: Request, end: Callable[..., SyncRow | None]) -> None:
        row = await self._journal.write(partial(end, seen=self._seen()))
        self.last_sync = row if self.is_newest(request) else self.last_sync


def _write_end(
    entries: Transaction,
    *,
    sync: SyncId,
    state: State,
    seen: Seen,
    at: datetime,
    **end: Any,
) -> SyncRow | None:
    entries.finish_sync(sync, state, at, **end)
    entries.set_source(seen.attempted, seen.applied, at)
    return entries.sync(sync)


def _in_short(action: Action) -> dict[str, str]:
    return {"service": action.service, "verb": action.verb.value, "why": action.why}


def told(action: Action, outcome: Outcome | None) -> ActionStatus:
    failure = outcome.failure if outcome else None
    return ActionStatus(
        service=action.service,
        verb=action.verb.value,
        why=action.why,
        outcome=outcome.state if outcome else "done",
        reason=failure.reason if failure else None,
        message=failure.message if failure else None,
    )


def passed_by(reading: Reading) -> str | None:
    """Folders that are no services, and overrides of none: nobody else would tell of them."""
    odd = (*reading.misnamed, *reading.warnings)
    told = [": ".join(filter(None, (one.message, one.remedy))) for one in odd[:ODDITIES_TOLD]]
    more = len(odd) - len(told)
    return "; ".join([*told, f"and {more} more"] if more else told) or None


def state_of(told: tuple[ActionStatus, ...], meant: Collection[ServiceName]) -> State:
    if any(one.outcome == "failed" or (one.verb == "hold" and one.service not in meant) for one in told):
        return "failed"
    return "superseded" if any(one.outcome == "superseded" for one in told) else "done"
