"""A commit as it is presented: who, when, and a first line that can do no harm."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.model.names import ObjectId
from reconciler.source.mirror import Mirror
from tests.source.mirrors import TASKS, following
from tests.source.repositories import Repository


def test_a_commit_is_presented(repository: Repository, place: Path) -> None:
    sha = repository.push({TASKS: b"one"}, "Add tasks\n\nBecause they were missing.")

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        commit = mirror.commit(sha)
        assert (commit.sha, commit.author, commit.subject) == (sha, "Ada", "Add tasks")
        assert commit.at == datetime.fromtimestamp(1763640000, UTC)

    following(repository.folder, place, scenario)


@pytest.mark.parametrize(
    ("headers", "message", "subject"),
    [
        pytest.param(b"", b"\x1b[2Jred\x07\r\n\nbody", "[2Jred", id="escape sequences"),
        pytest.param(b"", "a\u202eb\u200bc".encode(), "abc", id="invisible characters"),
        pytest.param(b"", b"\xff\xfe bytes", "\ufffd\ufffd bytes", id="bytes that are no text"),
        pytest.param(b"", b"x" * 10_000, "x" * 200, id="a long line"),
        pytest.param(b"", b"", "", id="nothing"),
        pytest.param(b"encoding latin-1\n", b"caf\xe9", "caf\ufffd", id="an encoding other than UTF-8"),
        pytest.param(b"encoding zip\n", b"subject", None, id="an encoding that is none"),
        pytest.param(b"encoding rot13\n", b"subject", None, id="an encoding that makes no text"),
    ],
)
def test_no_commit_can_do_harm_by_what_it_says(
    repository: Repository, place: Path, headers: bytes, message: bytes, subject: str | None
) -> None:
    tree = repository.folder_of({TASKS: b"one"}).encode()
    who = b"Ada\x1b[1m <a@example.com> 1763640000 +0000"
    data = b"tree %b\nauthor %b\ncommitter %b\n%b\n%b" % (tree, who, who, headers, message)
    sha = ObjectId(repository.commit_object(data))
    repository.point(sha)

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        commit = mirror.commit(sha)
        assert commit.sha == sha
        assert commit.author in ("Ada[1m", "")
        assert subject is None or commit.subject == subject
        assert (commit.author + commit.subject).isprintable()
        assert mirror.commit(sha) is commit

    following(repository.folder, place, scenario)


def test_reading_a_commit_leaves_no_process_behind(repository: Repository, place: Path) -> None:
    sha = repository.push({TASKS: b"one"})

    async def scenario(mirror: Mirror) -> None:
        await mirror.fetch()
        mirror.commit(sha)

    before = _children()
    following(repository.folder, place, scenario)
    assert _children() <= before


def _children() -> set[str]:
    """Of this process; other tests may have left some that nobody has waited for."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(listed.read_text().split()) if listed.exists() else set()
