"""The gate: a candidate's suite is played on its private socket, before its first real request.

Says what the suite concluded; what follows from that is the deployment's business.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from reconciler.control.folders import Folders
from reconciler.control.output import lines_of_request
from reconciler.control.wanted import Wanted
from reconciler.model.document import Document, load
from reconciler.model.failure import Reason, Stalled
from reconciler.model.manifest import Manifest
from reconciler.model.names import Digest, ServiceName
from reconciler.model.platform import MANIFEST
from reconciler.model.verdict import Report, problems
from reconciler.source.tree import Tree
from reconciler.suite.files import LARGEST, Files
from reconciler.suite.load import Declared, declared
from reconciler.suite.play import play
from reconciler.suite.target import Target
from reconciler.worker.crew import Crew

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

    async def play(self, wanted: Wanted, crew: Crew, tree: Tree) -> Report:
        suites = self.shelf.get(wanted.ingredients.digest)
        if suites is None:
            suites = await asyncio.to_thread(_read_again, wanted, tree)
        spec = crew.spec
        target = Target(str(crew.ready[0].sockets.private), spec.prefix, spec.service, spec.release, self.public)
        return await play(suites.suites, target, logs=self._lines(spec.service))

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
    return declared(name, manifest.suites, files, document)


def _read_again(wanted: Wanted, tree: Tree) -> Declared:
    file = f"{wanted.folder}/{MANIFEST}"
    document = load(tree.blob(file, MANIFEST_LIMIT) or b"", file)
    return read_suites(wanted.name, wanted.folder, wanted.watched, wanted.manifest, document, tree)
