"""The names things go by.

A plain string tells nobody whether it is a service or a release; these do, at no cost at run time.
Refuses to be a home for behaviour: a name only knows whether it is well formed.
"""

import re
from dataclasses import dataclass
from typing import NewType

ServiceName = NewType("ServiceName", str)
ReleaseId = NewType("ReleaseId", str)
"""`<service>-<n>`, counted per service: `tasks-7`. Shown to people, accepted by `rollback --to`."""
WorkerId = NewType("WorkerId", str)
"""`<release>.<n>`, one for each process ever started: `tasks-7.1`."""
Digest = NewType("Digest", str)
EnvironmentId = NewType("EnvironmentId", str)
ObjectId = NewType("ObjectId", str)
"""Forty hex digits that git gave to a tree, a blob or a commit."""
SyncId = NewType("SyncId", str)

ALGORITHM = "@sha1:"
SERVICE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def is_service_name(text: str) -> bool:
    return SERVICE_NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Revision:
    """One commit of the branch that is followed."""

    branch: str
    sha: ObjectId

    def __str__(self) -> str:
        return f"{self.branch}{ALGORITHM}{self.sha}"

    @property
    def short(self) -> str:
        return shortened(str(self))


def sha_of(revision: str | None) -> str:
    """Of `main@sha1:<40 hex>`; nothing of nothing."""
    return (revision or "").rpartition(ALGORITHM)[2]


def shortened(revision: str) -> str:
    """`main@sha1:0123…` as people say it: `main@01234567`. Whatever else is written stays as it is."""
    branch, is_one, sha = revision.rpartition(ALGORITHM)
    return f"{branch}@{sha[:8]}" if is_one else revision
