"""What the forge is told, from what happens here.

Level-based like everything else: when this control starts, it says again what became of the last sync, since the one
before it may have died with words unsaid, and then what became of those that it left in the middle; the outbox knows
what was said already. Refuses to keep anybody waiting.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reconciler.control.feed import Feed
from reconciler.control.history import History
from reconciler.control.interrupted import EVENTS_READ, Interrupted, interrupted
from reconciler.model.names import SyncId, sha_of
from reconciler.model.notice import Kind, Notice
from reconciler.model.statement import Word, concluded, finished, planned, rolled_back
from reconciler.model.status import ActionStatus, EventStatus, SyncStatus

log = logging.getLogger(__name__)

SYNCS_LOOKED_AT = 50
REMEMBERED = 1_000


class Telling:
    def __init__(
        self,
        feed: Feed,
        history: History,
        tell: Callable[[Iterable[Word]], None],
        where: Callable[[str], str | None],
    ) -> None:
        self._feed = feed
        self._history = history
        self._tell = tell
        self._where = where
        """The path at which a service answers."""
        self._shas: OrderedDict[str, str] = OrderedDict()
        """The commit that each sync follows."""
        self._concluded: OrderedDict[str, str] = OrderedDict()
        """How each commit ended; a later sync that finds nothing to do and the same end has nothing to add."""
        self._problems: dict[str, Sequence[Mapping[str, Any]]] = {}
        self._ended_in: OrderedDict[str, set[str]] = OrderedDict()
        """Of which services each sync has told the end."""
        self._interrupted: Sequence[Interrupted] = ()

    async def run(self) -> None:
        with self._feed.listen() as listener:
            await self._say_again()
            async for notice in listener:
                try:
                    if listener.missed:
                        listener.missed = 0
                        await self._say_again()
                    self._tell(await self._words(notice))
                except Exception:
                    log.exception("a bug kept the forge from hearing of something")

    async def _say_again(self) -> None:
        syncs, _ = await self._history.syncs(SYNCS_LOOKED_AT, None)
        for sync in reversed(syncs):
            if sync.revision is not None and sync.state in ("done", "failed"):
                _remember(self._concluded, sha_of(sync.revision), sync.state)
        self._interrupted = await interrupted(self._history, syncs, self._where)
        newest = next(filter(self._has_said, syncs), None)
        if newest is not None:
            self._tell((*self._each(newest), *self._whole(newest), *await self._taken_back_since(newest)))

    def _has_said(self, sync: SyncStatus) -> bool:
        """Of its commit, and nothing that a later sync of the same commit took back."""
        if sync.revision is None or sync.finished_at is None:
            return False
        return bool(sync.actions) or sync.state == self._concluded.get(sha_of(sync.revision)) == "failed"

    async def _taken_back_since(self, sync: SyncStatus) -> tuple[Word, ...]:
        """What was live when that sync ended need not be so any more."""
        planned = await self._history.planned(SyncId(sync.id))
        since = await self._history.events(planned.id, None, EVENTS_READ) if planned is not None else ()
        return tuple(word for one in since if one.kind == Kind.ROLLED_BACK for word in self._rolled_back(one))

    async def _words(self, notice: Notice) -> tuple[Word, ...]:
        match notice.kind:
            case Kind.SYNC_PLANNED:
                return self._planned(notice)
            case Kind.RELEASE_FAILED if notice.service is not None:
                self._problems[notice.service] = notice.data.get("problems", ())
            case Kind.ACTION_FINISHED:
                return self._ended(notice)
            case Kind.SYNC_FINISHED if notice.sync is not None:
                return self._finished(await self._history.sync(notice.sync))
            case Kind.ROLLED_BACK:
                return self._rolled_back(notice)
        return ()

    def _rolled_back(self, told: Notice | EventStatus) -> tuple[Word, ...]:
        bad, good = (sha_of(told.data.get(side, {}).get("revision")) for side in ("from", "to"))
        if not bad or not good or told.service is None:
            return ()
        return rolled_back(bad, good, told.service, told.message, self._where(told.service))

    def _planned(self, notice: Notice) -> tuple[Word, ...]:
        sha = sha_of(notice.revision)
        _remember(self._shas, str(notice.sync), sha)
        words = planned(sha, notice.data["actions"])
        # Nothing to begin: nothing is pending either.
        return words if len(words) > 1 else ()

    def _ended(self, notice: Notice) -> tuple[Word, ...]:
        sha = self._shas.get(str(notice.sync))
        if sha is None or notice.service is None:
            return ()
        ended = self._ended_in.get(str(notice.sync), set())
        _remember(self._ended_in, str(notice.sync), ended | {notice.service})
        action = {**notice.data, "service": notice.service}
        problems = self._problems.pop(notice.service, ())
        return concluded(sha, action, problems)

    def _finished(self, sync: SyncStatus | None) -> tuple[Word, ...]:
        if sync is None or sync.revision is None:
            return ()
        sha = sha_of(sync.revision)
        before = tuple(word for one in self._interrupted for word in one.words(sync))
        self._interrupted = ()
        ended = self._ended_in.pop(sync.id, set())
        if not any(map(_is_worth_telling, sync.actions)) and self._concluded.get(sha) == sync.state:
            return before
        _remember(self._concluded, sha, sync.state)
        # Held, or waiting for another service or a better moment: nobody worked at them, so no end was told.
        others = [action for action in self._plain(sync) if action["service"] not in ended and _is_concluded(action)]
        return (*before, *(word for action in others for word in concluded(sha, action)), *self._whole(sync))

    def _each(self, sync: SyncStatus) -> Iterable[Word]:
        for action in self._plain(sync):
            yield from concluded(sha_of(sync.revision), action)

    def _whole(self, sync: SyncStatus) -> tuple[Word, ...]:
        return finished(sha_of(sync.revision), sync.state, sync.message, self._plain(sync))

    def _plain(self, sync: SyncStatus) -> list[dict[str, Any]]:
        return [{**action.model_dump(), "path": self._where(action.service)} for action in sync.actions]


def _is_concluded(action: Mapping[str, Any]) -> bool:
    """Nobody worked at it, so it was not released, whatever it says."""
    return action["verb"] in ("hold", "remove") or action["outcome"] != "done"


def _is_worth_telling(action: ActionStatus) -> bool:
    """Otherwise somebody wants it to stay as it is."""
    return action.verb != "hold" or bool(action.reason)


def _remember(into: "OrderedDict[str, Any]", key: str, value: Any) -> None:
    into[key] = value
    into.move_to_end(key)
    while len(into) > REMEMBERED:
        into.popitem(last=False)
