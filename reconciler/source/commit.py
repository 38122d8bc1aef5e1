"""Who made a commit and what they called it, fit to be shown.

Read with GitPython's `Repo.commit`, on objects that libgit2 finds. Whatever is odd in a commit becomes an empty field
or a replacement character, never an error: it must not be able to stop the server.
"""

import io
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pygit2
from git import Commit as GitCommit
from git import Repo
from pygit2.enums import ObjectType

from reconciler.model.names import ObjectId
from reconciler.source.objects import LARGEST_COMMIT

LONGEST_AUTHOR = 100
LONGEST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Commit:
    sha: ObjectId
    author: str
    subject: str
    at: datetime | None
    """When it was committed, as the committer's clock had it."""


def read_commit(mirror: Path, sha: ObjectId) -> Commit:
    try:
        with Repo(mirror, odbt=_Objects) as repository:
            return _presentable(repository.commit(sha), sha)
    except Exception:
        return Commit(sha, "", "", None)


class _Found(NamedTuple):
    binsha: bytes
    type: bytes
    size: int
    stream: io.BytesIO


class _Objects:
    """GitPython's own ways are two git programs for each commit, or a reader of packs that it advises against."""

    def __init__(self, objects: str) -> None:
        self._odb = pygit2.Odb(objects)

    def info(self, sha: bytes) -> _Found:
        return self.stream(sha)

    def stream(self, sha: bytes) -> _Found:
        oid = pygit2.Oid(raw=sha)
        kind, size = self._odb.read_header(oid)
        if kind != ObjectType.COMMIT or size > LARGEST_COMMIT:
            raise ValueError("no commit that anybody would show")
        return _Found(sha, GitCommit.type.encode(), size, io.BytesIO(self._odb.read(oid)[1]))


def _presentable(commit: GitCommit, sha: ObjectId) -> Commit:
    message = commit.message if isinstance(commit.message, str) else commit.message.decode("utf-8", "replace")
    subject = message.strip().split("\n", 1)[0]
    at = commit.committed_datetime.astimezone(UTC)
    return Commit(sha, _plain(commit.author.name or "", LONGEST_AUTHOR), _plain(subject, LONGEST_SUBJECT), at)


def _plain(text: str, longest: int) -> str:
    """Without what would move a cursor, turn the writing direction or hide."""
    kept = (c for c in text[: 4 * longest] if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
    return "".join(kept).strip()[:longest]
