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
from reconciler.control.interrupted import Interrupted, interrupted
from reconciler.model.names import sha_of
from reconciler.model.notice import Kind, Notice
from reconciler.model.statement import Word, concluded, finished, planned, rolled_back
from reconciler.model.status import SyncStatus

log = logging.getLogger(__name__)

SYNCS_LOOKED_AT = 50
REMEMBERED = 1_000


class Telling:
    def __init__(self, feed: Feed, history: History, tell: Callable[[Iterable[Word]], None]) -> None:
        self._feed = feed
        self._history = history
        self._tell = tell
        self._shas: OrderedDict[str, str] = OrderedDict()
        """The commit that each sync follows."""
        self._concluded: OrderedDict[str, None] = OrderedDict()
        """Commits of which something was said; a later sync that finds nothing to do has nothing to add."""
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
                _remember(self._concluded, sha_of(sync.revision), None)
        acted = (sync for sync in syncs if sync.revision is not None and sync.actions and sync.finished_at is not None)
        self._interrupted = await interrupted(self._history, syncs)
        newest = next(acted, None)
        if newest is not None:
            self._tell((*self._each(newest), *_whole(newest)))

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
            case Kind.ROLLED_BACK if notice.service is not None:
                bad, good = (sha_of(notice.data.get(side, {}).get("revision")) for side in ("from", "to"))
                return rolled_back(bad, good, notice.service, notice.message) if bad and good else ()
        return ()

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
        return concluded(sha, action, problems, notice.data.get("path"))

    def _finished(self, sync: SyncStatus | None) -> tuple[Word, ...]:
        if sync is None or sync.revision is None:
            return ()
        sha = sha_of(sync.revision)
        before = tuple(word for one in self._interrupted for word in one.words(sync))
        self._interrupted = ()
        ended = self._ended_in.pop(sync.id, set())
        if not sync.actions and sha in self._concluded:
            return before
        _remember(self._concluded, sha, None)
        # Held, or waiting for another service or a better moment: nobody worked at them, so no end was told.
        others = [action for action in _plain(sync) if action["service"] not in ended and _is_concluded(action)]
        return (*before, *(word for action in others for word in concluded(sha, action)), *_whole(sync))

    def _each(self, sync: SyncStatus) -> Iterable[Word]:
        for action in _plain(sync):
            yield from concluded(sha_of(sync.revision), action)


def _is_concluded(action: Mapping[str, Any]) -> bool:
    """Nobody worked at it, so it was not released, whatever it says."""
    return action["verb"] in ("hold", "remove") or action["outcome"] != "done"


def _whole(sync: SyncStatus) -> tuple[Word, ...]:
    return finished(sha_of(sync.revision), sync.state, sync.message, _plain(sync))


def _plain(sync: SyncStatus) -> list[dict[str, Any]]:
    return [action.model_dump() for action in sync.actions]


def _remember(into: "OrderedDict[str, Any]", key: str, value: Any) -> None:
    into[key] = value
    into.move_to_end(key)
    while len(into) > REMEMBERED:
        into.popitem(last=False)
