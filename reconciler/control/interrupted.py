"""Syncs that a former control left in the middle: somebody was told that their commits are pending.

What became of such a commit is known when the next sync has ended. Either that one followed the same commit, and what
it found nothing to do about is as it should be; or a newer commit took its place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.control.history import History
from reconciler.model.names import SyncId, sha_of
from reconciler.model.notice import Kind
from reconciler.model.statement import Word, concluded, finished
from reconciler.model.status import SyncStatus

EVENTS_READ = 10_000

Actions = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Interrupted:
    sha: str
    begun: Actions
    """What was said to be under way."""
    switched: frozenset[str]
    """Services that came to serve this commit before the end."""

    def words(self, after: SyncStatus) -> tuple[Word, ...]:
        """What is to be said of it when a later sync has ended."""
        told = [*self._each({action.service for action in after.actions}, sha_of(after.revision))]
        if self.sha == sha_of(after.revision):
            return tuple(told)
        return (*told, *finished(self.sha, "superseded", None, ()))

    def _each(self, acted_upon: set[str], sha: str) -> Iterable[Word]:
        for action in self.begun:
            if sha != self.sha:
                is_done = action["service"] in self.switched
                yield from concluded(self.sha, {**action, "outcome": "done" if is_done else "superseded"})
            elif action["service"] not in acted_upon:
                yield from concluded(self.sha, {**action, "outcome": "done"})


async def interrupted(
    history: History, syncs: Iterable[SyncStatus], where: Callable[[str], str | None]
) -> list[Interrupted]:
    """Those since the last that came to its end; of `syncs` the newest is the first. `where` a service answers."""
    found = []
    for sync in syncs:
        if sync.finished_at is None or sync.revision is None:
            continue
        if sync.state != "superseded" or sync.actions:
            break
        planned = await history.planned(SyncId(sync.id))
        told = planned.data["actions"] if planned is not None else ()
        begun = [{**one, "path": where(one["service"])} for one in told if one["verb"] != "hold"]
        if planned is not None and begun:
            since = await history.events(planned.id, None, EVENTS_READ)
            switched = frozenset(one.service for one in since if one.kind == Kind.RELEASE_SWITCHED and one.service)
            found.append(Interrupted(sha_of(sync.revision), begun, switched))
    return found
