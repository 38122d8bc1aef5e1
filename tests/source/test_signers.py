"""Whose commits are applied: real keys, real signatures, and everything that can be wrong with them."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.model.failure import Failure, Reason, Stalled
from reconciler.model.names import ObjectId
from reconciler.source import signers as module
from reconciler.source.program import Git
from reconciler.source.signers import Signers, Unusable, read_signers
from tests.end_to_end.repository import Repository
from tests.source.signing import Keyring, Signer, install_what_is_missing, keyring, signed, ssh_signer

UNKNOWN = "is signed with a key that is not among the signers'"
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    install_what_is_missing()


@pytest.fixture(scope="module")
def ring() -> Iterator[Keyring]:
    with keyring() as made:
        yield made


@dataclass
class People:
    ada: Signer
    """With a key of ssh."""
    mallory: Signer
    """Whom nobody listed."""
    grace: Signer
    """With a key of gpg."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, ring: Keyring) -> People:
    keys = tmp_path_factory.mktemp("keys")
    return People(ssh_signer(keys, "ada"), ssh_signer(keys, "mallory"), ring.signer("grace"))


class Court:
    """A repository, a list of signers, and who is judged by it."""

    def __init__(self, folder: Path) -> None:
        self.repository = Repository(folder / "repository")
        self.file = folder / "signers"
        self.place = folder / "place"
        self.remembered = folder / "trusted" / "one"
        self.git = Git(self.repository.path / ".git", protocol="", environ={}, file_limit=1 << 30)
        self.signers = self.afresh()

    def afresh(self) -> Signers:
        return Signers(self.file, self.place, self.remembered)

    def list(self, *signers: Signer | str) -> None:
        self.file.write_text("\n".join(one if isinstance(one, str) else one.listed for one in signers))

    def judge(self, sha: str, *, keep: bool = True) -> str:
        """What is held against a commit; nothing when it may be applied."""
        try:
            asyncio.run(self.afresh().judge(self.git, ObjectId(sha), keep=keep))
        except Failure as failure:
            assert isinstance(failure, Stalled), failure
            assert failure.reason is Reason.SOURCE_UNAVAILABLE
            return failure.message
        return ""


@pytest.fixture
def court(tmp_path: Path) -> Iterator[Court]:
    made = Court(tmp_path)
    yield made
    made.git.close()


def test_a_commit_of_somebody_on_the_list_is_applied_whichever_key_it_is_signed_with(
    court: Court, people: People
) -> None:
    court.list("# Who may", "", people.ada, people.grace)
    assert court.judge(people.ada.commit(court.repository, "with ssh")) == ""
    assert court.judge(people.grace.commit(court.repository, "with gpg")) == ""


def test_what_nobody_or_an_unknown_one_signed_is_not_and_says_what_to_do(court: Court, people: People) -> None:
    court.list(people.ada)
    for sha, why in (
        (court.repository.commit({}), "is not signed"),
        (
            people.mallory.commit(court.repository, "mine"),
            "is signed with a key that is not among the signers' (SHA256:",
        ),
        (people.grace.commit(court.repository, "mine"), "is signed with a key that is not among the signers'"),
    ):
        told = court.judge(sha)
        assert f"Commit {sha[:8]} {why}" in told
        assert "git rebase --gpg-sign" in told
    court.list(people.grace)
    assert "not among the signers'" in court.judge(people.ada.commit(court.repository, "now an unknown one"))


def test_an_expired_key_is_as_good_as_none(court: Court, tmp_path: Path, ring: Keyring) -> None:
    late = ssh_signer(tmp_path, "late", 'valid-before="20200101"')
    court.list(late)
    assert "not among the signers'" in court.judge(late.commit(court.repository, "too late"))
    gone = ring.signer("gone", expired=True)
    court.list(gone)
    assert "key that has expired" in court.judge(gone.commit(court.repository, "long ago"))


def test_a_revoked_key_is_as_good_as_none(court: Court, ring: Keyring) -> None:
    henry = ring.signer("henry")
    court.list(henry)
    sha = henry.commit(court.repository, "while it was good")
    assert court.judge(sha, keep=False) == ""
    court.list(ring.revoked("henry"))
    assert "key that was revoked" in court.judge(sha)


def test_a_signature_of_another_commit_does_not_fit(court: Court, people: People) -> None:
    court.list(people.ada)
    people.ada.commit(court.repository, "the real one")
    text = court.repository.git("cat-file", "commit", "HEAD").replace("the real one", "another one")
    forged = court.repository.path / "forged"
    forged.write_text(f"{text}\n")
    sha = court.repository.git("hash-object", "-t", "commit", "-w", str(forged))
    assert "does not fit it" in court.judge(sha)


def test_the_first_commit_is_judged_alone_and_every_later_one_with_all_that_is_new(
    court: Court, people: People
) -> None:
    court.list(people.ada)
    court.repository.commit({"old.txt": "from before there were signers"})
    first = people.ada.commit(court.repository, "from here on")
    assert court.judge(first) == ""
    bad = court.repository.commit({"new.txt": "slipped in"})
    tip = people.ada.commit(court.repository, "on top of it")
    assert f"Commit {bad[:8]} is not signed" in court.judge(tip)
    assert f"Commit {bad[:8]}" in court.judge(people.ada.commit(court.repository, "and one more")), (
        "after a restart too"
    )
    court.repository.git("reset", "--quiet", "--hard", first)
    assert court.judge(people.ada.commit(court.repository, "instead")) == "", "a range that is good heals"


def test_a_merge_brings_no_unsigned_commits_in(court: Court, people: People) -> None:
    court.list(people.ada)
    assert court.judge(people.ada.commit(court.repository, "base")) == ""
    court.repository.git("checkout", "--quiet", "-b", "side")
    bad = court.repository.commit({"side.txt": "unsigned"})
    court.repository.git("checkout", "--quiet", "main")
    people.ada.commit(court.repository, "meanwhile")
    tip = signed(court.repository, (*people.ada.options, "merge", "-S", "--no-ff", "-m", "Merge", "side"))
    assert f"Commit {bad[:8]} is not signed" in court.judge(tip)


def test_a_long_range_is_looked_at_whole(court: Court, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    court.list(people.ada)
    first = people.ada.commit(court.repository, "base")
    assert court.judge(first) == ""
    bad = court.repository.commit({})
    tips = [people.ada.commit(court.repository, f"number {number}") for number in range(5)]
    assert f"Commit {bad[:8]}" in court.judge(tips[-1])
    court.repository.git("reset", "--quiet", "--hard", first)
    tips = [people.ada.commit(court.repository, f"good {number}") for number in range(4)]
    assert court.judge(tips[-1]) == ""


def test_going_back_needs_no_new_signatures_and_losing_the_past_is_said(court: Court, people: People) -> None:
    court.list(people.ada)
    shas = [people.ada.commit(court.repository, f"number {number}") for number in range(3)]
    assert [court.judge(sha) for sha in (shas[0], shas[2], shas[1])] == ["", "", ""]
    court.remembered.write_text("0123456789" * 4)
    told = court.judge(shas[2])
    assert "is not in this repository any more" in told and "trusted" in told
    court.remembered.write_text("what?")
    assert "holds no commit" in court.judge(shas[2])


def test_going_back_behind_the_first_signed_commit_is_no_way_to_apply_an_unsigned_one(
    court: Court, people: People
) -> None:
    court.list(people.ada, people.grace)
    old = court.repository.commit({"old.txt": "from before there were signers"})
    by_grace = people.grace.commit(court.repository, "by somebody who is taken off the list later")
    first = people.ada.commit(court.repository, "from here on")
    assert court.judge(first) == ""
    assert f"Commit {old[:8]} is not signed" in court.judge(old)
    court.list(people.ada)
    assert f"Commit {by_grace[:8]} is signed with a key that is not" in court.judge(by_grace)
    assert court.judge(people.ada.commit(court.repository, "and further")) == ""


def test_a_history_that_was_cut_off_hides_nothing(court: Court, people: People) -> None:
    court.list(people.ada)
    first = people.ada.commit(court.repository, "from here on")
    assert court.judge(first) == ""
    court.repository.commit({"new.txt": "slipped in"})
    tip = people.ada.commit(court.repository, "on top of it")
    court.repository.path.joinpath(".git", "shallow").write_text(f"{tip}\n")
    assert "cut off" in court.judge(tip)


def test_looking_without_keeping_remembers_nothing(court: Court, people: People) -> None:
    court.list(people.ada)
    assert court.judge(people.ada.commit(court.repository, "one"), keep=False) == ""
    assert not court.remembered.exists()


def test_whoever_is_taken_off_the_list_is_out_at_once(court: Court, people: People) -> None:
    court.list(people.ada, people.grace)
    judge = court.afresh()

    async def scenario() -> None:
        await judge.judge(court.git, ObjectId(people.ada.commit(court.repository, "one")), keep=True)
        court.list(people.grace)
        with pytest.raises(Stalled, match="not among the signers'"):
            await judge.judge(court.git, ObjectId(people.ada.commit(court.repository, "two")), keep=True)
        court.file.unlink()
        with pytest.raises(Stalled, match="Until it can be read nothing new is applied"):
            await judge.judge(court.git, ObjectId(people.ada.commit(court.repository, "three")), keep=True)

    asyncio.run(scenario())


def test_nothing_that_the_repository_says_about_verifying_is_obeyed(
    court: Court, people: People, tmp_path: Path
) -> None:
    court.list(people.grace)
    marker, evil = tmp_path / "obeyed", tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {marker}\nexit 0\n")
    evil.chmod(0o755)
    everybody = tmp_path / "everybody"
    everybody.write_text(people.mallory.listed)
    sha = people.mallory.commit(court.repository, "mine")
    replaced = court.repository.git("commit-tree", "-m", "unsigned", f"{sha}^{{tree}}")
    good = people.grace.commit(court.repository, "good")
    for name, value in (
        ("gpg.program", str(evil)),
        ("gpg.ssh.program", str(evil)),
        ("gpg.x509.program", str(evil)),
        ("gpg.ssh.allowedSignersFile", str(everybody)),
        ("log.showSignature", "true"),
        ("core.pager", str(evil)),
    ):
        court.repository.git("config", name, value)
    assert "not among the signers'" in court.judge(sha)
    court.repository.git("replace", replaced, good)
    assert "is not signed" in court.judge(replaced), "a replacement is another commit"
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "lists nobody"),
        ("# nobody yet\n\n", "lists nobody"),
        (f"ada@example.com {PUBLIC}\n{PUBLIC} ada\n", "signers:2: a key without a name"),
        ("ada@example.com\n", "signers:1: neither a line"),
        ("ada@example.com ssh-rsa\n", "signers:1: neither a line"),
        ("-----BEGIN PGP PUBLIC KEY BLOCK-----\nAAAA\n", "signers:1: neither a line"),
        (b"\x99\x01\x0d\x04\xff", "is no text"),
    ],
)
def test_a_list_that_says_nothing_is_refused(tmp_path: Path, text: str | bytes, told: str) -> None:
    file = tmp_path / "signers"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Unusable, match="signers") as refused:
        read_signers(file)
    assert told in str(refused.value)


def test_a_key_that_gpg_cannot_read_stops_what_is_new(court: Court) -> None:
    court.list("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEY\n-----END PGP PUBLIC KEY BLOCK-----")
    assert "gpg cannot read the keys" in court.judge(court.repository.commit({}))


def test_a_list_is_needed_only_with_the_tools_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "signers"
    file.write_text(f'ada@example.com,*@example.org namespaces="git" {PUBLIC} laptop\n')
    assert read_signers(file).openpgp == ""
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(Unusable, match="install openssh-client"):
        read_signers(file)
