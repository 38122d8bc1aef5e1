"""Who wrote what is followed: read once per commit, beside the sync and never in its way.

Kept in the journal, since git may not hold it for ever, and the newest in memory, for a status that asks nobody.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable

from reconciler.model.names import ObjectId, sha_of
from reconciler.source.followed import Source
from reconciler.store.journal import Journal
from reconciler.store.rows import CommitRow

log = logging.getLogger(__name__)

IN_MEMORY = 4_096


class Commits:
    def __init__(self, mirror: Source, journal: Journal) -> None:
        self._mirror = mirror
        self._journal = journal
        self._known: OrderedDict[str, CommitRow] = OrderedDict()
        self._reading: set[asyncio.Task[None]] = set()

    def note(self, sha: ObjectId) -> None:
        """Find out about a commit that is being followed."""
        if sha in self._known:
            return
        task = asyncio.create_task(self._note(sha))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    def at_hand(self, revision: str | None) -> CommitRow | None:
        """From memory, at once; None where it is not known or not known yet."""
        return self._known.get(sha_of(revision))

    async def of(self, revisions: Iterable[str | None]) -> dict[str, CommitRow]:
        """By sha, as far as anybody knows."""
        shas = {sha_of(revision) for revision in revisions} - {""}
        missing = shas - self._known.keys()
        if missing:
            found = await self._journal.commits(missing)
            for row in found.values():
                self._remember(row)
        return {sha: self._known[sha] for sha in shas & self._known.keys()}

    async def _note(self, sha: ObjectId) -> None:
        commit = await asyncio.to_thread(self._mirror.commit, sha)
        row = CommitRow(sha=sha, author=commit.author, subject=commit.subject, at=commit.at)
        self._remember(row)
        self._journal.later(lambda entries: entries.note_commit(row))

    def _remember(self, row: CommitRow) -> None:
        self._known[row.sha] = row
        while len(self._known) > IN_MEMORY:
            self._known.popitem(last=False)
