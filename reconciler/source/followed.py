"""What the loop follows: one branch of a repository, wherever that lies.

Elsewhere, and mirrored here (`Mirror`), or here itself, to be pushed to (`Hosted`).
"""

from typing import Protocol

from reconciler.model.names import ObjectId, Revision
from reconciler.source.address import Address
from reconciler.source.commit import Commit
from reconciler.source.tree import Tree


class Source(Protocol):
    @property
    def address(self) -> Address: ...

    @property
    def branch(self) -> str: ...

    @property
    def tip(self) -> ObjectId | None:
        """The commit fetched last."""

    async def latest(self) -> ObjectId | None:
        """The commit the source has now, without fetching it; None when the branch is not there."""

    async def fetch(self) -> Revision:
        """The branch as it is now."""
        ...

    async def resolve(self, ref: str) -> ObjectId | None:
        """A commit that is here: a hash or the beginning of one, the branch or HEAD, each with `~1` and the like."""

    async def judge(self, sha: ObjectId, *, keep: bool) -> None:
        """Raise when the operator's signers do not stand behind a commit and what came before it.

        `keep` remembers the verdict: what comes next is looked at from there.
        """

    def commit(self, sha: ObjectId) -> Commit:
        """Who made it, and what they called it. Takes some milliseconds."""
        ...

    def tree(self, sha: ObjectId) -> Tree: ...
