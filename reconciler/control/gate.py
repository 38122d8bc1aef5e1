"""The gate: a candidate's suite is played on its private socket, before its first real request.

Says what the suite concluded; what follows from that is the deployment's business.
"""

import asyncio
import posixpath
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reconciler.control.folders import Folders
from reconciler.control.output import lines_of_request
from reconciler.control.recipe import Recipe, Tests
from reconciler.control.veil import Veil
from reconciler.control.wanted import Wanted
from reconciler.model.document import Document, load
from reconciler.model.failure import Reason, Stalled
from reconciler.model.manifest import Manifest
from reconciler.model.names import Digest, ServiceName
from reconciler.model.platform import MANIFEST
from reconciler.model.verdict import Outcome, Report, SuiteResult, Verdict, problems
from reconciler.source.tree import Tree
from reconciler.suite.files import LARGEST, Files
from reconciler.suite.fuzz import fuzz
from reconciler.suite.load import Declared, declared
from reconciler.suite.play import play
from reconciler.suite.pytest_gate import PytestRun, run_pytest
from reconciler.suite.relay import LOOPBACK, relay
from reconciler.suite.smoke import play_smoke, smoke_of
from reconciler.suite.target import Target
from reconciler.worker.crew import Crew
from reconciler.worker.means import Reveal

Lines = Callable[[str], Awaitable[tuple[str, ...]]]

KEPT = 64
MANIFEST_LIMIT = 256 * 1024


@dataclass(slots=True)
class Shelf:
    """Suites as they were read a moment ago. Most are never needed again, so few are kept."""

    _kept: OrderedDict[Digest, Declared] = field(default_factory=OrderedDict)

    def put(self, digest: Digest, suites: Declared) -> None:
        self._kept[digest] = suites
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def get(self, digest: Digest) -> Declared | None:
        return self._kept.get(digest)


@dataclass(frozen=True, slots=True)
class Gate:
    shelf: Shelf
    folders: Folders
    public: str
    """Where people reach the services, for the `curl` lines of a report."""
    veil: Veil
    reveal: Reveal
    """What `${secrets.NAME}` stands for in a suite."""

    async def play(self, wanted: Wanted, crew: Crew, tree: Tree) -> Report:
        """Ask a candidate everything that its manifest declares."""
        suites = self.shelf.get(wanted.ingredients.in_git)
        if suites is None:
            suites = await asyncio.to_thread(_read_again, wanted, tree)
            self.shelf.put(wanted.ingredients.in_git, suites)
        report = await self._ask(suites, crew, wanted.folder, wanted.manifest.env)
        if wanted.manifest.fuzz != "gate" or report.verdict is not Verdict.PASSED:
            return report
        found = await self.fuzz(wanted, crew)
        seconds = report.seconds + found.seconds
        return replace(report, verdict=found.verdict, suites=(*report.suites, found), seconds=seconds)

    async def fuzz(self, wanted: Wanted, crew: Crew) -> SuiteResult:
        """Ask what nobody declared, made up from the service's OpenAPI document."""
        if not crew.ready:
            raise Stalled(Reason.START_FAILED, f"{crew.spec.release} ended before it was fuzzed")
        target = await self._target(crew, str(crew.ready[0].sockets.private))
        return await fuzz(target, f"{wanted.folder}/{MANIFEST}", redact=self.veil.text)

    async def play_again(self, digest: Digest, recipe: Recipe, crew: Crew) -> Report:
        """Ask what serves, as it was asked before it did; needs no git. Raises `Invalid` for a suite of older rules."""
        suites = self.shelf.get(digest)
        if suites is None:
            home = self.folders.release(recipe.service, crew.spec.release)
            suites = await asyncio.to_thread(_read_from_disk, home, recipe)
        return await self._ask(suites, crew, recipe.folder, recipe.env)

    async def smoke(self, wanted: Wanted, crew: Crew) -> Stalled | None:
        """Ask one thing where people ask; why the answer is no good, if it is not."""
        suites = self.shelf.get(wanted.ingredients.in_git)
        smoke = smoke_of(suites.suites) if suites is not None else None
        if smoke is None:
            return None
        spec = crew.spec
        target = await self._target(crew, "")
        result = await play_smoke(smoke, target, redact=self.veil.text)
        if result.verdict is not Verdict.FAILED:
            return None
        report = Report(spec.service, spec.release, result.verdict, (result,), result.seconds)
        case = next(one for one in result.cases if one.outcome is Outcome.FAILED)
        why = f"{spec.release} passed its suite, then failed through the public door: {case.name}: {case.summary}"
        return Stalled(Reason.TESTS_FAILED, why, problems=problems(report))

    async def _ask(self, suites: Declared, crew: Crew, folder: str, environ: Mapping[str, str]) -> Report:
        """The fast ones first; pytest is only started for a service that passed those."""
        if not crew.ready:
            raise Stalled(Reason.START_FAILED, f"{crew.spec.release} ended before its suite was played")
        spec, private = crew.spec, str(crew.ready[0].sockets.private)
        target = await self._target(crew, private)
        report = await play(suites.suites, target, redact=self.veil.text, logs=self._lines(spec.service))
        if not suites.pytest_files or report.verdict is not Verdict.PASSED:
            return report
        async with relay(private) as port:
            run = PytestRun(
                python=spec.python,
                folder=spec.code,
                files=[posixpath.relpath(file, folder) for file in suites.pytest_files],
                base_url=f"http://{LOOPBACK}:{port}{spec.prefix}",
                environ=environ,
                open_files=spec.limits.files,
                memory=spec.limits.memory,
                shown=folder,
            )
            slow = await run_pytest(run, target, redact=self.veil.text)
        return replace(slow, suites=(*report.suites, *slow.suites), seconds=report.seconds + slow.seconds)

    async def _target(self, crew: Crew, socket: str) -> Target:
        spec = crew.spec
        secrets = await self.reveal(spec.pinned)
        return Target(socket, spec.prefix, spec.service, spec.release, self.public, secrets)

    def _lines(self, service: ServiceName) -> Lines:
        async def lines(request: str) -> tuple[str, ...]:
            return await asyncio.to_thread(lines_of_request, self.folders.log(service), request)

        return lines


def refusal(report: Report) -> Stalled:
    """Why a candidate does not take the traffic."""
    return Stalled(Reason.TESTS_FAILED, report.summary, problems=problems(report))


def read_suites(
    name: ServiceName, folder: str, watched: tuple[str, ...], manifest: Manifest, document: Document, tree: Tree
) -> Declared:
    """What the manifest declares, compiled. Raises `Invalid` with everything that is wrong."""
    names = frozenset(file.path for file in tree.files(folder, watched))
    files = Files(folder, names, lambda path: tree.blob(path, LARGEST) or b"")
    secrets = [secret.name for secret in manifest.secrets]
    return declared(name, manifest.suites, files, document, secrets=secrets)


def _read_again(wanted: Wanted, tree: Tree) -> Declared:
    file = f"{wanted.folder}/{MANIFEST}"
    document = load(tree.blob(file, MANIFEST_LIMIT) or b"", file)
    return read_suites(wanted.name, wanted.folder, wanted.watched, wanted.manifest, document, tree)


def _read_from_disk(home: Path, recipe: Recipe) -> Declared:
    """A release's folder is shaped like the repository it came from."""
    root = home.resolve()
    found = (path for path in root.rglob("*") if path.is_file() and path.resolve().is_relative_to(root))
    names = frozenset(path.relative_to(root).as_posix() for path in found)
    file = f"{recipe.folder}/{MANIFEST}"
    document = load((root / file).read_bytes() if file in names else b"", file)
    files = Files(recipe.folder, names, lambda path: _beginning(root / path))
    secrets = [secret.name for secret in recipe.secrets]
    return declared(recipe.service, _listed(recipe.tests), files, document, secrets=secrets)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _listed(tests: Tests) -> list[Any] | None:
    return [tests] if isinstance(tests, str) else tests
