"""Whose commits are applied: the operator's list of signers, and what git says about each commit.

The list is a file of the operator's, never of the repository that it judges: lines in the format of ssh's
`allowed_signers`, armored OpenPGP public keys, or both. Every commit since the last one that was found good counts,
not only the tip, since each of them brought a part of what would run. Only the first commit of all is judged alone:
whoever signed it stands for what lies behind it. So is the tip of a branch that went back.

git verifies, with ssh-keygen and gpg; nothing that the repository says about how to verify is obeyed. The file is
read at every judgement, so that a signer who is taken out is out at once.
"""

import asyncio
import hashlib
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reconciler.model.failure import Reason, Stalled, Wait
from reconciler.model.names import ObjectId
from reconciler.source.program import Git
from reconciler.source.resolving import SHA

AT_ONCE = 500
"""Commits per call of git; what it says about so many fits into what is read of it."""
SECONDS = 300.0
IMPORT_SECONDS = 30.0
LARGEST = 4 * 1024 * 1024

_ARMOR = re.compile(r"^-----BEGIN PGP PUBLIC KEY BLOCK-----$.*?^-----END PGP PUBLIC KEY BLOCK-----$", re.M | re.S)
_KEY = r"(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+ +[A-Za-z0-9+/]+=*"
_ALLOWED = re.compile(rf"(?!(?:ssh-|ecdsa-|sk-))\S+ +(?:.+ +)?{_KEY}(?: .*)?")
_BARE = re.compile(rf"{_KEY}(?: .*)?")
_VERDICT = re.compile(r"(?P<sha>[0-9a-f]{40}) (?P<letter>[GBUXYREN]) (?P<key>\S*)")
_VERDICTS = {
    "B": "has a signature that does not fit it",
    "U": "is signed with a key that is not among the signers'",
    "X": "has a signature that has expired",
    "Y": "is signed with a key that has expired",
    "R": "is signed with a key that was revoked",
    "E": "is signed with a key that is not among the signers'",
    "N": "is not signed",
}
Ask = Callable[..., Awaitable[list[str]]]
_TOOLS = {"ssh-keygen": "openssh-client", "gpg": "gnupg"}


class Unusable(Exception):
    """The list says nothing that can be gone by."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The two halves of a signers' file."""

    ssh: str
    openpgp: str


def read_signers(file: Path) -> Listed:
    try:
        content = file.read_bytes()[: LARGEST + 1]
        text = content.decode()
    except OSError as error:
        raise Unusable(f"the signers' file {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unusable(
            f"the signers' file {file} is no text; write OpenPGP keys with `gpg --armor --export`"
        ) from error
    if len(content) > LARGEST:
        raise Unusable(f"the signers' file {file} is larger than {LARGEST:,} bytes")
    openpgp = _ARMOR.findall(text)
    rest = _ARMOR.sub(lambda block: "\n" * block.group().count("\n"), text)
    for number, line in enumerate(rest.splitlines(), 1):
        if line.strip() and not line.startswith("#") and not _ALLOWED.fullmatch(line.strip()):
            raise Unusable(f"{file}:{number}: {_what_is_wrong(line.strip())}")
    lines = [line.strip() for line in rest.splitlines() if line.strip() and not line.startswith("#")]
    if not lines and not openpgp:
        raise Unusable(f"the signers' file {file} lists nobody")
    for tool, needed in (("ssh-keygen", lines), ("gpg", openpgp)):
        if needed and shutil.which(tool) is None:
            raise Unusable(f"{tool} is not on the PATH, and {file} needs it; install {_TOOLS[tool]}")
    return Listed("".join(f"{line}\n" for line in lines), "".join(f"{block}\n" for block in openpgp))


def _cut_off(folder: Path) -> frozenset[str]:
    """Commits whose parents whoever sent them kept to himself."""
    try:
        return frozenset(folder.joinpath("shallow").read_text().split())
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise Wait(Reason.SOURCE_UNAVAILABLE, f"{folder / 'shallow'} cannot be read: {error.strerror}") from error


def _what_is_wrong(line: str) -> str:
    if _BARE.fullmatch(line):
        return "a key without a name; put an address in front of it: `ada@example.com ssh-ed25519 AAAA…`"
    return "neither a line as in ssh's allowed_signers (`ada@example.com ssh-ed25519 AAAA…`) nor an armored public key"


class Signers:
    def __init__(self, file: Path, place: Path, remembered: Path) -> None:
        self.file = file
        self._place = place
        """A private folder for what ssh-keygen and gpg read; its path is short, as gpg wants it."""
        self._remembered = remembered
        """The commit up to which all was found good; it has to outlast everything that can be fetched again."""
        self._prepared = ""
        self._lock = asyncio.Lock()

    @property
    def trusted(self) -> ObjectId | None:
        try:
            text = self._remembered.read_text().strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refusal(f"{self._remembered} cannot be read: {error.strerror}") from error
        if not SHA.fullmatch(text):
            raise self._refusal(f"{self._remembered} holds no commit; {self._begin_anew}")
        return ObjectId(text)

    async def judge(self, git: Git, sha: ObjectId, *, keep: bool, environ: Mapping[str, str] | None = None) -> None:
        """Raise unless every commit that is new in `sha` was signed by somebody on the list."""
        async with self._lock:
            await self._judge(git, sha, environ or {})
            if keep:
                self._remember(sha)

    async def _judge(self, git: Git, sha: ObjectId, environ: Mapping[str, str]) -> None:
        trusted = self.trusted
        if sha == trusted:
            return
        options, surroundings = await asyncio.to_thread(self._prepare)
        ask = partial(self._ask, git, options, {**surroundings, **environ})
        await self._check_that_it_is_here(git, trusted, environ)
        if trusted is None or not await self._judge_range(ask, sha, trusted, _cut_off(git.folder)):
            # The first of all; or a branch that went back, perhaps to where nobody has looked.
            self._judge_each(await ask("--max-count=1", sha))

    async def _judge_range(self, ask: Ask, sha: ObjectId, trusted: ObjectId, cut_off: Collection[str]) -> int:
        """How many commits are new."""
        count = 0
        while True:
            told = await ask(f"--skip={count}", sha, f"^{trusted}")
            self._judge_each(told, cut_off)
            count += len(told)
            if len(told) < AT_ONCE:
                return count

    async def _ask(self, git: Git, options: tuple[str, ...], environ: Mapping[str, str], *which: str) -> list[str]:
        """What git says of some commits, a line of each."""
        said = await git.run(
            *options, "log", "--no-show-signature", "--no-decorate", "--no-notes", "--format=%H %G? %GK",
            f"--max-count={AT_ONCE}", *which, "--",
            seconds=SECONDS, environ=environ,
        )  # fmt: skip
        if not said.well:
            why = "it took too long" if said.late else said.err.strip()[-200:]
            raise Wait(Reason.SOURCE_UNAVAILABLE, f"The signatures could not be looked at: {why}")
        return said.out.decode("ascii", "replace").splitlines()

    def _judge_each(self, lines: Iterable[str], cut_off: Collection[str] = ()) -> None:
        for line in lines:
            self._judge_one(line, cut_off)

    def _judge_one(self, line: str, cut_off: Collection[str]) -> None:
        verdict = _VERDICT.fullmatch(line)
        if verdict is None:
            raise self._refusal(f"git says of a signature what is not understood: {line[:80]!r}")
        if verdict["sha"] in cut_off:
            raise self._refusal(
                f"The history of commit {verdict['sha'][:8]} is cut off, so nobody can tell what came before it and "
                "who signed that. Follow a repository that is whole"
            )
        if verdict["letter"] != "G":
            key = f" ({verdict['key'][:64]})" if verdict["key"] else ""
            raise self._refusal(
                f"Commit {verdict['sha'][:8]} {_VERDICTS[verdict['letter']]}{key}, so nothing from it on is applied. "
                "Sign it and what follows it (`git rebase --gpg-sign`), and push again with --force; or let the "
                "operator list the key"
            )

    async def _check_that_it_is_here(self, git: Git, trusted: ObjectId | None, environ: Mapping[str, str]) -> None:
        if trusted is None:
            return
        said = await git.run("cat-file", "-e", f"{trusted}^{{commit}}", seconds=SECONDS, environ=environ)
        if not said.well:
            raise self._refusal(
                f"Commit {trusted[:8]}, up to which every signature was good, is not in this repository any more, so "
                f"nobody can tell which commits are new; {self._begin_anew}"
            )

    @property
    def _begin_anew(self) -> str:
        return f"remove {self._remembered.name} from the folder `trusted` of the data folder to begin with the tip"

    def _prepare(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """Options and variables for git, and the files that they name."""
        try:
            listed = read_signers(self.file)
        except Unusable as unusable:
            raise self._refusal(f"{unusable}. Until it can be read nothing new is applied") from unusable
        home = self._place / "openpgp"
        key = hashlib.sha256(f"{listed.ssh}\0{listed.openpgp}".encode()).hexdigest()
        if key != self._prepared:
            self._lay_out(listed, home)
            self._prepared = key
        options = (
            "-c", f"gpg.ssh.allowedSignersFile={self._place / 'allowed_signers'}", "-c", "gpg.ssh.revocationFile=",
            "-c", "gpg.ssh.program=ssh-keygen", "-c", "gpg.program=gpg", "-c", "gpg.x509.program=false",
            "-c", "gpg.minTrustLevel=undefined", "-c", "core.useReplaceRefs=false", "-c", "log.follow=false",
        )  # fmt: skip
        return options, {"GNUPGHOME": str(home), "GIT_NO_REPLACE_OBJECTS": "1"}

    def _lay_out(self, listed: Listed, home: Path) -> None:
        try:
            shutil.rmtree(self._place, ignore_errors=True)
            home.mkdir(mode=0o700, parents=True)
            self._place.joinpath("allowed_signers").write_text(listed.ssh)
            # Being on the operator's list is what makes a key trusted; there is no web of trust here.
            home.joinpath("gpg.conf").write_text("trust-model always\nno-auto-key-retrieve\nno-auto-key-import\n")
            home.joinpath("keys.asc").write_text(listed.openpgp)
            if listed.openpgp:
                self._import(home)
        except OSError as error:
            raise Wait(Reason.SOURCE_UNAVAILABLE, f"The signers' keys cannot be laid out: {error.strerror}") from error

    def _import(self, home: Path) -> None:
        command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--no-autostart", "--import"]
        try:
            done = subprocess.run(
                [*command, str(home / "keys.asc")],
                check=False,
                capture_output=True,
                timeout=IMPORT_SECONDS,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise self._refusal(f"gpg did not read the keys in {self.file} in time") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[:200]
            raise self._refusal(f"gpg cannot read the keys in {self.file}: {said}")

    def _remember(self, sha: ObjectId) -> None:
        beside = self._remembered.with_suffix(".new")
        try:
            self._remembered.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.write_text(f"{sha}\n")
            beside.replace(self._remembered)
        except OSError as error:
            message = f"What was verified cannot be written down: {error.strerror}"
            raise Wait(Reason.SOURCE_UNAVAILABLE, message) from error

    def _refusal(self, message: str) -> Stalled:
        return Stalled(Reason.SOURCE_UNAVAILABLE, f"{message}.")
