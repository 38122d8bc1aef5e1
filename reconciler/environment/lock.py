"""Requirements to a lock: each package at one version, from files with known hashes.

A resolution is made once per wish and kept for ever, so that the same text gives the same packages until
somebody changes it or asks for a new one. A `service.lock` is held to its word: uv may add what the platform
needs, and nothing else.
"""

import json
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from reconciler.environment.command import Ran
from reconciler.environment.explanation import WORD, Explanation, explain
from reconciler.environment.failures import Killed, stalled
from reconciler.environment.interpreter import Interpreter
from reconciler.environment.shared import Shared
from reconciler.environment.uv import Uv
from reconciler.model.digest import fingerprint
from reconciler.model.failure import Failure, Reason, Stalled
from reconciler.model.names import EnvironmentId
from reconciler.model.progress import Progress, silent
from reconciler.model.requirement import Requirements, split_hashes

MOST_KNOWN = 1_000
"""Locks in memory, at some 50 kB each; the others are a file away."""
MOST_KEPT = 1_000
"""Locks on disk, beside those of environments; what is forgotten and asked for again is resolved anew."""
SERVICE, PLATFORM = "service.in", "platform.in"
PEOPLE = {SERVICE: "the service", PLATFORM: "every worker"}
ROW = re.compile(r"(?P<line>(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:==(?P<version>[^\s;]+)| @ (?P<url>\S+))[^\n\\]*)")


@dataclass(frozen=True, slots=True)
class Lock:
    id: EnvironmentId
    requirements: Requirements
    packages: Mapping[str, str]
    text: str
    """Lines that an installer takes: `name==version --hash=…`, with whom each is for as a comment."""
    built: tuple[str, ...] = ()
    """Packages that have no wheel and that the operator allows to be built from source."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """One package of a resolution."""

    name: str
    version: str
    text: str
    hashes: tuple[str, ...]
    parents: tuple[str, ...]


@dataclass(slots=True)
class Locks:
    folder: Path
    uv: Uv
    interpreter: Interpreter
    base: Requirements
    allow_builds: tuple[str, ...] = ()
    _known: dict[Requirements, Lock] = field(default_factory=dict)
    _shared: Shared[Lock] = field(default_factory=Shared)

    async def lock(self, asked: Requirements, progress: Progress, *, fresh: bool = False) -> Lock:
        if not fresh and (known := self._known.get(asked)) is not None:
            return known
        self._check_python(asked)
        path = self.folder / f"{self._key(asked)}.json"
        lock = None if fresh else _load(path, asked)
        if lock is None:
            work = partial(self._resolve_and_keep, asked, path)
            lock = await self._shared.join(f"{path.name} {fresh}", work, progress)
        else:
            # When it was used last decides how long it is kept.
            path.touch()
        self._remember(asked, lock)
        return lock

    def of(self, environment: EnvironmentId) -> Lock:
        """The one that an environment was made from."""
        known = (lock for lock in self._known.values() if lock.id == environment)
        kept = (_load(path, Requirements()) for path in sorted(self.folder.glob("*.json")))
        lock = next((one for one in (*known, *kept) if one is not None and one.id == environment), None)
        if lock is None:
            raise Stalled(Reason.REQUIREMENTS_FAILED, "an environment does not work, and what it was made from is lost")
        return lock

    def _remember(self, asked: Requirements, lock: Lock) -> None:
        self._known[asked] = lock
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def prune(self, environments: Collection[str], most: int = MOST_KEPT) -> int:
        """Forget resolutions that were not used for longest; never one that an environment was made from."""
        kept = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        gone = 0
        for path in kept[most:]:
            lock = _load(path, Requirements())
            if lock is None or lock.id not in environments:
                path.unlink(missing_ok=True)
                gone += 1
        return gone

    async def close(self) -> None:
        await self._shared.close()

    def _key(self, asked: Requirements) -> str:
        world = (self.base.key, self.interpreter.series, self.interpreter.platform)
        return fingerprint([asked.key, *world])[:32]

    def _check_python(self, asked: Requirements) -> None:
        if not asked.accepts(self.interpreter.version):
            message = f"the service requires Python {asked.python}; the server runs {self.interpreter.version}"
            raise stalled("python-unsupported", message, "Change `requires-python`, or the server's Python")

    async def _resolve_and_keep(self, asked: Requirements, path: Path, progress: Progress) -> Lock:
        progress("resolving requirements")
        try:
            lock = await self._resolve(asked, progress)
        except Killed:
            lock = await self._resolve(asked, progress)
        _keep(path, lock)
        return lock

    async def _resolve(self, asked: Requirements, progress: Progress) -> Lock:
        with tempfile.TemporaryDirectory(dir=self.uv.work) as folder:
            out, built = await self._compile(asked, Path(folder), progress)
        resolved = _narrowed(tuple(_rows(out)), asked)
        progress(f"resolved {len(resolved)} packages")
        if asked.exact:
            _check_complete(resolved, asked, f"Python {self.interpreter.series} on {self.interpreter.platform}")
        return self._lock(asked, resolved, built)

    async def _compile(self, asked: Requirements, folder: Path, progress: Progress) -> tuple[str, tuple[str, ...]]:
        """Run uv until it succeeds, or wants to build what nobody allows."""
        files = _write_inputs(folder, asked, self.base)
        built: tuple[str, ...] = ()
        while (ran := await self._run(files, folder, built, asked.exact, progress)).code != 0:
            places = {f"{folder}/": "", **self.uv.places, **self.interpreter.places}
            said = explain(ran, asked, self.interpreter.version, places)
            more = tuple(name for name in said.packages if self._may_build(said, name) and name not in built)
            if not more:
                raise await self._blame(said, asked, folder, built)
            built = (*built, *more)
        return ran.out, built

    async def _run(
        self, files: Sequence[str], folder: Path, built: Sequence[str], exact: bool, progress: Progress = silent
    ) -> Ran:
        wanted = ("--generate-hashes", "--no-header", "--python", str(self.interpreter.program))
        arguments = ("pip", "compile", *wanted, *building(built), *self.uv.sources(), *files)
        if exact:  # what is pinned cannot be out of date, so the cache may answer
            ran = await self.uv.run(*arguments, "--offline", folder=folder)
            if ran.code == 0:
                return ran
        return await self.uv.run(*arguments, folder=folder, progress=progress)

    def _may_build(self, said: Explanation, name: str) -> bool:
        return said.code == "no-wheel" and ("*" in self.allow_builds or name in self.allow_builds)

    async def _blame(self, said: Explanation, asked: Requirements, folder: Path, built: Sequence[str]) -> Failure:
        """Say whether the service contradicts itself, or what every worker needs."""
        if said.code != "conflict" or not asked.lines:
            return said.failure
        if (await self._run((SERVICE,), folder, built, asked.exact)).code != 0:
            return said.failure
        needs = ", ".join(line.partition(";")[0].strip() for line in self.base.lines)
        message = f"the requirements conflict with what every worker needs: {needs}"
        remedy, detail = "Loosen the constraint that uv names", said.failure.detail or ""
        return stalled("platform-conflict", message, remedy, line=asked.named(WORD.findall(detail)), detail=detail)

    def _lock(self, asked: Requirements, resolved: Sequence[Resolved], built: tuple[str, ...]) -> Lock:
        content = [(row.text, row.hashes) for row in resolved]
        world = (self.interpreter.series, self.interpreter.platform, built)
        identity = EnvironmentId(fingerprint([content, world])[:32])
        packages = {row.name: row.version for row in resolved}
        return Lock(identity, asked, packages, "".join(map(_rendered, resolved)), built)


def building(built: Sequence[str]) -> tuple[str, ...]:
    """Everything from wheels, save for what is named: uv takes a wheel of those neither."""
    if not built:
        return ("--no-build",)
    return ("--only-binary=:all:", *(f"--no-binary={name}" for name in built))


def _write_inputs(folder: Path, asked: Requirements, base: Requirements) -> tuple[str, ...]:
    inputs = {SERVICE: asked.lines, PLATFORM: base.lines}
    for name, lines in inputs.items():
        (folder / name).write_text("".join(f"{split_hashes(line)[0]}\n" for line in lines))
    return tuple(name for name, lines in inputs.items() if lines) or (PLATFORM,)


def _rows(text: str) -> Iterator[Resolved]:
    """Take apart what uv wrote: a package, its hashes below it, then for whom it is there."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    for block in blocks:
        if (found := ROW.match(block)) is not None:
            name = canonicalize_name(found["name"])
            hashes = tuple(sorted(re.findall(r"--hash=(\S+)", block)))
            parents = tuple(re.findall(r"^ +#(?: +via)? +(?:-r )?(\S+)", block, re.MULTILINE))
            yield Resolved(name, found["version"] or _version_in(found["url"]), found["line"].strip(), hashes, parents)


def _version_in(url: str) -> str:
    """The second part of a wheel's file name; a direct URL says it nowhere else."""
    parts = url.rpartition("/")[2].split("-")
    return parts[1] if len(parts) >= 5 else url


def _rendered(row: Resolved) -> str:
    parents = ", ".join(PEOPLE.get(parent, parent) for parent in row.parents)
    hashes = "".join(f" \\\n    --hash={value}" for value in row.hashes)
    return f"{row.text}{hashes}\n    # for {parents}\n"


def _narrowed(resolved: Iterable[Resolved], asked: Requirements) -> tuple[Resolved, ...]:
    """Keep only the files whose hashes the service named, where it named some."""
    named: dict[str, set[str]] = {}
    for line in asked.lines:
        text, hashes = split_hashes(line)
        if hashes:
            named.setdefault(Requirement(text).name, set()).update(hashes)
    return tuple(_narrow(row, named[row.name], asked) if row.name in named else row for row in resolved)


def _narrow(row: Resolved, named: set[str], asked: Requirements) -> Resolved:
    kept = tuple(value for value in row.hashes if value in named)
    if not kept:
        message = f"none of the files of {row.name} {row.version} in the index has the hash that is asked for"
        remedy = "Find out why the files changed before you write other hashes"
        raise stalled("hash-mismatch", message, remedy, line=asked.named((row.name,)))
    return replace(row, hashes=kept)


def _check_complete(resolved: Sequence[Resolved], asked: Requirements, world: str) -> None:
    """A lock that leaves out what its packages need would install something else on every day."""
    expected = asked.names | _reached(resolved)
    for row in resolved:
        if row.name not in expected:
            message = f"service.lock does not list {row.name}, which {row.parents[0]} needs"
            # A lock holds for where it was made: elsewhere a package may need others.
            remedy = f"Run `reconciler lock` with {world}, as this server has, and commit what it writes"
            raise stalled("lock-incomplete", message, remedy, line=asked.named(row.parents))


def _reached(resolved: Sequence[Resolved]) -> set[str]:
    """What the platform's own needs bring along."""
    reached = {PLATFORM}
    while more := {row.name for row in resolved if reached & set(row.parents)} - reached:
        reached |= more
    return reached


def _load(path: Path, asked: Requirements) -> Lock | None:
    try:
        kept = json.loads(path.read_bytes())
        return Lock(kept["id"], asked, kept["packages"], kept["text"], tuple(kept["built"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _keep(path: Path, lock: Lock) -> None:
    content = {"id": lock.id, "packages": lock.packages, "text": lock.text, "built": lock.built}
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).rename(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
