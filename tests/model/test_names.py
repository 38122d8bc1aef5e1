"""A revision, as it is written and as people say it."""

import pytest

from reconciler.model.names import ObjectId, Revision, sha_of, shortened

SHA = ObjectId("0123456789" * 4)


@pytest.mark.parametrize(
    ("written", "sha", "short"),
    [
        (f"main@sha1:{SHA}", SHA, "main@01234567"),
        (f"feature/a@sha1:b@sha1:{SHA}", SHA, "feature/a@sha1:b@01234567"),
        ("working tree", "working tree", "working tree"),
        ("", "", ""),
    ],
)
def test_a_revision_is_read_and_said_in_one_way(written: str, sha: str, short: str) -> None:
    assert (sha_of(written), shortened(written)) == (sha, short)
    assert sha_of(None) == ""


def test_a_revision_reads_as_it_is_written() -> None:
    revision = Revision("main", SHA)
    assert (sha_of(str(revision)), revision.short) == (SHA, "main@01234567")
