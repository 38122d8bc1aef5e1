"""Who made a commit and what they called it, kept for when git no longer holds it."""

from collections.abc import Iterable

from sqlalchemy import delete, func, select

from reconciler.store.entries import Entries, inserting
from reconciler.store.rows import CommitRow
from reconciler.store.tables import Commit

COMMITS_KEPT = 20_000
_PRUNE_EVERY = 100
_INSERT = inserting(Commit)


class CommitEntries(Entries):
    def note_commit(self, commit: CommitRow) -> None:
        """Once is enough: a commit never changes."""
        if self._connection.execute(select(Commit.sha).where(Commit.sha == commit.sha)).first() is not None:
            return
        number = (self._connection.execute(select(func.max(Commit.number))).scalar() or 0) + 1
        told = {"sha": commit.sha, "author": commit.author, "subject": commit.subject, "at": commit.at}
        self._connection.execute(_INSERT, {**told, "number": number})
        if number % _PRUNE_EVERY == 0:
            self._connection.execute(delete(Commit).where(Commit.number <= number - COMMITS_KEPT))

    def commits(self, shas: Iterable[str]) -> dict[str, CommitRow]:
        """Those that are known, by sha."""
        wanted = sorted(set(shas))
        query = select(Commit.sha, Commit.author, Commit.subject, Commit.at).where(Commit.sha.in_(wanted))
        return {row["sha"]: CommitRow(**row) for row in self._connection.execute(query).mappings()} if wanted else {}
