"""A bare mirror of the one branch that is followed.

It is fetched into, never checked out, and can be thrown away at any time: whatever is wrong with it is mended
by fetching again. The first fetch takes the last commits only; later ones bring what came since, so that a
range can be looked at and nothing new costs nothing. Refuses to conclude anything from a failure: what
cannot be read is unavailable, never gone.
"""

import asyncio
import contextlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.failure import Reason, Wait
from reconciler.model.names import ObjectId, Revision
from reconciler.source.address import Address, Kind, check_branch, parse_address
from reconciler.source.commit import Commit, read_commit
from reconciler.source.leftovers import LOCKS, UNFINISHED, remove
from reconciler.source.objects import Objects
from reconciler.source.program import Git, Said, configured
from reconciler.source.resolving import SHA, resolve
from reconciler.source.signers import Signers
from reconciler.source.tree import Tree
from reconciler.source.trouble import Meaning, Trouble, understand

TIP = "refs/reconciler/tip"
"""Where the branch is kept; a name of ours, so that no remote name ever becomes a path here."""
FIRST_DEPTH = 50
UNPACKED = ("-c", "core.compression=0")
"""What git adds to a pack to make it whole, the last listing of a large folder first of all, goes with the next repack:
it is not worth the time that packing it takes."""
NEAR = ("--upload-pack=git -c pack.window=0 -c pack.compression=0 -c core.compression=0 upload-pack",)
"""How a folder on this machine sends what came last: looking for resemblances, and packing, take longer than a copy."""
LEFT_BEHIND = (*LOCKS, "objects/**/*.lock", *UNFINISHED)
"""Nobody else is at work in a mirror."""
MOST_PACKS = 50
"""Every fetch leaves a pack; when there are more, they are put together."""

_FORCED = re.compile(rf"^ \+ [0-9a-f]+\.\.\.[0-9a-f]+ .* -> {TIP} +\(forced update\)$", re.MULTILINE)
"""How git says that a branch no longer holds the commit it pointed to; a remote's own words begin with `remote:`."""
_PROTOCOLS: dict[Kind, str] = {"path": "file", "http": "http:https", "ssh": "ssh"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how large the network's part may become."""

    fetch_seconds: float = 300.0
    latest_seconds: float = 30.0
    pack_bytes: int = 2 * 1024**3


class Mirror:
    def __init__(
        self,
        repository: str | Path,
        branch: str,
        folder: Path,
        *,
        bounds: Bounds | None = None,
        signers: Signers | None = None,
    ) -> None:
        self.address: Address = parse_address(repository)
        self.branch = check_branch(branch)
        self.folder = folder.absolute()
        self.on_rewritten: Callable[[ObjectId, ObjectId], object] = lambda old, new: None
        """Told of the commit before and the one now, when the first is no part of the history of the second."""
        self._bounds = bounds or Bounds()
        self._signers = signers
        self._lock = asyncio.Lock()
        self._damaged = False
        self._tending: asyncio.Task[None] | None = None
        self._commits: dict[ObjectId, Commit] = {}
        self._git = self._program(self.folder)

    async def open(self) -> None:
        """Make the mirror ready: create it, clear away what a crash left, throw it away when it is broken."""
        async with self._lock:
            await asyncio.to_thread(_clear, self.folder)
            if not _is_repository(self.folder) or not self._readable():
                await self._create(self._git, self.folder)

    async def close(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait([self._tending])
        self._git.close()

    @property
    def tip(self) -> ObjectId | None:
        """The commit fetched last."""
        with contextlib.suppress(OSError):
            text = self.folder.joinpath(TIP).read_text(encoding="ascii", errors="replace").strip()
            if SHA.fullmatch(text):
                return ObjectId(text)
        return None

    async def latest(self) -> ObjectId | None:
        """The commit the source has now, without fetching it; None when the branch is not there."""
        said = await self._git.run(
            "ls-remote", "--quiet", "--end-of-options", self.address.location, f"refs/heads/{self.branch}",
            seconds=self._bounds.latest_seconds,
        )  # fmt: skip
        if not said.well:
            raise self._understand(said).failure
        sha = said.out[:40].decode("ascii", "replace")
        return ObjectId(sha) if SHA.fullmatch(sha) else None

    async def fetch(self) -> Revision:
        """Bring the branch here as it is now, wherever it pointed before."""
        async with self._lock:
            await self._fetch_or_mend()
            sha = self.tip
        if sha is None:
            raise Wait(Reason.SOURCE_UNAVAILABLE, f"{self.address.location} gave no commit; it is tried again.")
        self._tend()
        return Revision(self.branch, sha)

    async def resolve(self, ref: str) -> ObjectId | None:
        """A commit that is here: a hash or the beginning of one, the branch or HEAD, each with `~1` and the like."""
        async with self._lock:
            return await resolve(self._git, ref, self.branch, TIP, seconds=self._bounds.latest_seconds)

    async def judge(self, sha: ObjectId, *, keep: bool) -> None:
        if self._signers is not None:
            async with self._lock:
                await self._signers.judge(self._git, sha, keep=keep)

    def tree(self, sha: ObjectId) -> Tree:
        try:
            return Tree(Objects(self.folder, self._condemn), sha)
        except Wait:
            # An old commit may have gone with an old mirror; the newest one must be here.
            if sha == self.tip:
                self._condemn()
            raise

    def commit(self, sha: ObjectId) -> Commit:
        if sha not in self._commits:
            if len(self._commits) >= 256:
                self._commits.clear()
            self._commits[sha] = read_commit(self.folder, sha)
        return self._commits[sha]

    async def _fetch_or_mend(self) -> None:
        if self._damaged or not _is_repository(self.folder):
            await self._fetch_anew()
            return
        trouble = await self._fetch_into(self._git, first=self.tip is None)
        if trouble is None:
            return
        if trouble.meaning is Meaning.OUTSIDE:
            raise trouble.failure
        # It may be the mirror; a fresh one tells. The old one stays until there is a better one, unless
        # what was refused may already lie in it: a later fetch would then not be checked again.
        if trouble.meaning is Meaning.MALFORMED:
            await self._create(self._git, self.folder)
        await self._fetch_anew()

    async def _fetch_anew(self) -> None:
        fresh = self.folder.with_name(f"{self.folder.name}.new")
        git = self._program(fresh)
        try:
            await self._create(git, fresh)
            trouble = await self._fetch_into(git, first=True)
            if trouble is not None:
                raise trouble.failure
            await asyncio.to_thread(_replace, self.folder, fresh)
            self._damaged = False
        finally:
            git.close()
            shutil.rmtree(fresh, ignore_errors=True)

    async def _fetch_into(self, git: Git, *, first: bool) -> Trouble | None:
        # Whoever has to look at every commit since some moment needs all of them.
        depth = (f"--depth={FIRST_DEPTH}",) if first and self._signers is None else ()
        sender = NEAR if not first and self.address.kind == "path" else ()
        trouble = await self._fetch_once(git, (*depth, *sender))
        if trouble is not None and trouble.meaning is Meaning.NO_SHALLOW:
            trouble = await self._fetch_once(git, sender)
        return trouble

    async def _fetch_once(self, git: Git, manner: tuple[str, ...]) -> Trouble | None:
        before = self.tip
        said = await git.run(
            *UNPACKED, "fetch", "--no-progress", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
            "--no-auto-maintenance", "--no-write-commit-graph", "--update-shallow", *manner,
            "--end-of-options", self.address.location, f"+refs/heads/{self.branch}:{TIP}",
            seconds=self._bounds.fetch_seconds,
        )  # fmt: skip
        if not said.well:
            await asyncio.to_thread(remove, git.folder, LEFT_BEHIND)
            return self._understand(said)
        if before is not None and (after := self.tip) is not None and _FORCED.search(said.err):
            self.on_rewritten(before, after)
        return None

    async def _create(self, git: Git, folder: Path) -> None:
        try:
            await asyncio.to_thread(_empty, folder)
        except OSError as error:
            message = f"The mirror {folder.name} cannot be written: {error.strerror}. Look at the data folder."
            raise Wait(Reason.SOURCE_UNAVAILABLE, message) from error
        said = await git.run("init", "--quiet", "--bare", "--template=", seconds=self._bounds.latest_seconds)
        if not said.well:
            raise self._understand(said).failure
        self._commits.clear()

    def _tend(self) -> None:
        """Put packs together when there are many, beside whatever comes next."""
        if self._tending is not None and not self._tending.done():
            return
        if len(list(self.folder.glob("objects/pack/*.pack"))) > MOST_PACKS:
            self._tending = asyncio.create_task(self._put_packs_together())

    async def _put_packs_together(self) -> None:
        async with self._lock:
            with contextlib.suppress(Wait):
                said = await self._git.run("repack", "--geometric=2", "-d", "-q", seconds=self._bounds.fetch_seconds)
                if not said.well:
                    await asyncio.to_thread(remove, self.folder, LEFT_BEHIND)

    def _readable(self) -> bool:
        if self.tip is None:
            return True
        try:
            self.tree(self.tip).folders("*")
        except Wait:
            return False
        finally:
            self._damaged = False
        return True

    def _condemn(self) -> None:
        self._damaged = True

    def _understand(self, said: Said) -> Trouble:
        return understand(said, self.address, self.branch)

    def _program(self, folder: Path) -> Git:
        return Git(
            folder,
            protocol=_PROTOCOLS[self.address.kind],
            environ=_credentials(self.address),
            file_limit=self._bounds.pack_bytes,
        )


def _credentials(address: Address) -> dict[str, str]:
    """By environment: a process's arguments can be read by everybody on the machine, a configuration file stays."""
    if address.authorization is None:
        return {}
    return configured({f"http.{address.location}.extraHeader": f"Authorization: {address.authorization}"})


def _is_repository(folder: Path) -> bool:
    return (
        folder.joinpath("HEAD").is_file() and folder.joinpath("objects").is_dir() and folder.joinpath("refs").is_dir()
    )


def _clear(folder: Path) -> None:
    _discard(folder.with_name(f"{folder.name}.new"))
    remove(folder, LEFT_BEHIND)


def _empty(folder: Path) -> None:
    _discard(folder)
    folder.mkdir(parents=True, mode=0o700)


def _replace(folder: Path, fresh: Path) -> None:
    _discard(folder)
    fresh.rename(folder)


def _discard(folder: Path) -> None:
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
