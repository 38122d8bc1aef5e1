"""The repository that is hosted here: what is pushed to its branch is what runs.

It is bare, and the only copy there is, so nothing of it is ever thrown away by us: what is damaged is said. It is read
where it lies; a fetch is a look at one file. Git's own locks settle who was first.
"""

import asyncio
import contextlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.model.failure import Reason, Stalled, Wait
from reconciler.model.names import ObjectId, Revision
from reconciler.source.address import Address, check_branch
from reconciler.source.commit import Commit, read_commit
from reconciler.source.hooks import write_hooks
from reconciler.source.leftovers import LOCKS, UNFINISHED, remove
from reconciler.source.objects import Objects
from reconciler.source.program import OLDEST, Git
from reconciler.source.resolving import SHA, resolve
from reconciler.source.signers import Signers
from reconciler.source.tree import Tree

log = logging.getLogger(__name__)

MOST_PACKS = 20
"""Every push leaves a pack, which every later one looks into; when there are more, they are put together."""
TENDED_AFTER = 1.0
"""Not while the push that brought one is on its way to its workers."""
SECONDS = 30.0
REPACK_SECONDS = 600.0
VERSION = re.compile(rb"git version (\d+)\.(\d+)[\w.]*")
DURABLE = ("-c", "core.fsync=default")
"""Nobody could give us this again."""


@dataclass(frozen=True, slots=True)
class Bounds:
    pack_bytes: int = 2 * 1024**3
    """One push brings no more than this."""


class Hosted:
    def __init__(
        self,
        root: Path,
        name: str,
        branch: str,
        url: str,
        *,
        signers: Signers | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.name = name
        self.branch = check_branch(branch)
        self.address = Address("http", url)
        self.root = root.absolute()
        self.folder = self.root / f"{name}.git"
        self.hooks = self.root / "hooks"
        self.bounds = bounds or Bounds()
        self.tip: ObjectId | None = None
        self.on_rewritten: Callable[[ObjectId, ObjectId], object] = lambda old, new: None
        self._backend = Path()
        self._signers = signers
        self._git = Git(self.folder, protocol="", environ={}, file_limit=2 * self.bounds.pack_bytes)
        self._beside: set[asyncio.Task[None]] = set()
        self._tending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make it ready: create it, point it at its branch, clear away what a crash left."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_hooks(self.hooks)
            await asyncio.to_thread(remove, self.folder, (*LOCKS, *UNFINISHED))
            await asyncio.to_thread(discard, [*self.quarantines()])
        except OSError as error:
            message = f"{self.folder} cannot be written: {error.strerror}. Look at the data folder."
            raise Wait(Reason.SOURCE_UNAVAILABLE, message) from error
        await self._find_backend()
        if not self.folder.joinpath("HEAD").is_file():
            await self._run("init", "--quiet", "--bare", "--template=")
        await self._run("symbolic-ref", "HEAD", self.ref)

    async def backend(self) -> Path:
        """The program that git clients talk to. An upgrade of git may have moved it."""
        if not self._backend.is_file():
            await self._find_backend()
        return self._backend

    async def close(self) -> None:
        for task in self._beside:
            task.cancel()
        if self._beside:
            await asyncio.wait(self._beside)
        self._git.close()

    @property
    def ref(self) -> str:
        return f"refs/heads/{self.branch}"

    async def latest(self) -> ObjectId | None:
        return self._loose() or await self._packed()

    async def fetch(self) -> Revision:
        sha = await self.latest()
        if sha is None:
            raise Wait(
                Reason.SOURCE_UNAVAILABLE,
                f"Nothing has been pushed to {self.branch} yet. `git push {self.address.location} HEAD:{self.branch}` "
                "does it.",
            )
        before, self.tip = self.tip, sha
        if before is not None and before != sha:
            self._do_beside(self._look_back(before, sha))
        if self._tending is None or self._tending.done():
            self._tending = self._do_beside(self._tend())
        return Revision(self.branch, sha)

    async def resolve(self, ref: str) -> ObjectId | None:
        return await resolve(self._git, ref, self.branch, self.ref, seconds=SECONDS)

    async def judge(self, sha: ObjectId, *, keep: bool) -> None:
        if self._signers is not None:
            await self._signers.judge(self._git, sha, keep=keep)

    async def judge_pushed(self, sha: ObjectId, quarantine: Path | None) -> None:
        """The same for a commit that is not accepted yet."""
        if self._signers is not None:
            await self._signers.judge(self._git, sha, keep=False, environ=_with(quarantine, self.folder))

    def commit(self, sha: ObjectId) -> Commit:
        return read_commit(self.folder, sha)

    def tree(self, sha: ObjectId, quarantine: Path | None = None) -> Tree:
        return Tree(Objects(self.folder, self._lament, quarantine), sha)

    def quarantines(self) -> Iterator[Path]:
        """Folders with what is being pushed, or was and never accepted."""
        return self.folder.glob("objects/*incoming-*")

    def _lament(self) -> None:
        log.error("an object is missing or damaged in the hosted repository; `git fsck` says more")

    def _loose(self) -> ObjectId | None:
        with contextlib.suppress(OSError):
            text = self.folder.joinpath(self.ref).read_text(encoding="ascii", errors="replace").strip()
            if SHA.fullmatch(text):
                return ObjectId(text)
        return None

    async def _packed(self) -> ObjectId | None:
        return await resolve(self._git, "HEAD", self.branch, self.ref, seconds=SECONDS)

    async def _look_back(self, before: ObjectId, now: ObjectId) -> None:
        # Whatever keeps us from looking, git looks for itself.
        with contextlib.suppress(Exception):
            if before in Objects(self.folder, self._lament).parents(now):
                # The usual push: one commit more. No git has to be asked.
                return
        said = await self._git.run("merge-base", "--is-ancestor", before, now, seconds=SECONDS)
        if said.status == 1:
            self.on_rewritten(before, now)

    async def _tend(self) -> None:
        await asyncio.sleep(TENDED_AFTER)
        if len(list(self.folder.glob("objects/pack/*.pack"))) > MOST_PACKS:
            said = await self._git.run(*DURABLE, "repack", "--geometric=2", "-d", "-q", seconds=REPACK_SECONDS)
            if not said.well:
                # What is pushed meanwhile lies apart.
                await asyncio.to_thread(remove, self.folder, UNFINISHED)

    def _do_beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    async def _find_backend(self) -> None:
        """Some systems keep it in a package of its own, and then nobody could push."""
        version = await self._git.run("version", seconds=SECONDS)
        if (found := VERSION.search(version.out)) and (int(found[1]), int(found[2])) < OLDEST:
            # It would take no notice of what a push must not do.
            message = f"{found[0].decode()} is too old for --receive. Install {OLDEST[0]}.{OLDEST[1]} or newer."
            raise Stalled(Reason.SOURCE_UNAVAILABLE, message)
        said = await self._git.run("--exec-path", seconds=SECONDS)
        self._backend = Path(said.out.decode("utf-8", "replace").strip(), "git-http-backend")
        if not said.well or not self._backend.is_file():
            message = "git has no http-backend here, which --receive needs. Install it; Alpine calls it git-daemon."
            raise Stalled(Reason.SOURCE_UNAVAILABLE, message)

    async def _run(self, *words: str) -> None:
        said = await self._git.run(*DURABLE, *words, seconds=SECONDS)
        if not said.well:
            message = f"{self.folder} cannot be made a repository: {said.err.strip()[:200]}"
            raise Wait(Reason.SOURCE_UNAVAILABLE, message)


def _with(quarantine: Path | None, folder: Path) -> Mapping[str, str]:
    if quarantine is None:
        return {}
    return {
        "GIT_OBJECT_DIRECTORY": os.fspath(quarantine),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.fspath(folder / "objects"),
    }


def discard(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
