"""Who made a commit and what they called it, fit to be shown.

Read with GitPython's `Repo.commit`, which starts a git program and ends it again. Whatever is odd in a commit
becomes an empty field or a replacement character, never an error: it must not be able to stop the server.
"""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from git import Commit as GitCommit
from git import Repo

from reconciler.model.names import ObjectId

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
        with Repo(mirror) as repository:
            # The server may have been started by a git hook, whose variables would name another repository, and
            # GitPython hands the server's environment on.
            repository.git.update_environment(GIT_DIR=str(mirror))
            return _presentable(repository.commit(sha), sha)
    except Exception:
        return Commit(sha, "", "", None)


def _presentable(commit: GitCommit, sha: ObjectId) -> Commit:
    message = commit.message if isinstance(commit.message, str) else commit.message.decode("utf-8", "replace")
    subject = message.strip().split("\n", 1)[0]
    at = commit.committed_datetime.astimezone(UTC)
    return Commit(sha, _plain(commit.author.name or "", LONGEST_AUTHOR), _plain(subject, LONGEST_SUBJECT), at)


def _plain(text: str, longest: int) -> str:
    """Without what would move a cursor, turn the writing direction or hide."""
    kept = (c for c in text[: 4 * longest] if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
    return "".join(kept).strip()[:longest]
