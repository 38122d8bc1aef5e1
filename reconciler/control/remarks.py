"""What reading a service in order to run it leaves unsaid, and whoever writes it wants to know.

A sync stops at the first file that is wrong; a person mends them all at once. Refuses to decide anything.
"""

from collections.abc import Collection

from reconciler.control.wanted import Unfit, Wanted
from reconciler.model.document import Document, Invalid, load
from reconciler.model.failure import Failure
from reconciler.model.platform import MANIFEST
from reconciler.model.problem import Problem
from reconciler.model.suggestion import did_you_mean
from reconciler.source.tree import Tree
from reconciler.suite.files import LARGEST, Files
from reconciler.suite.load import declared

EMPTY = b"version: 1\n"
NEED_A_MANIFEST = {"unknown-secret", "missing-file"}
"""What can only be said of a suite when its manifest is known."""


def hidden_problems(tree: Tree, wish: Unfit) -> tuple[Problem, ...]:
    """Mistakes in the usual suite of a service whose manifest is wrong already."""
    told = set(wish.failure.problems)
    try:
        names = frozenset(file.path for file in tree.files(wish.folder))
        files = Files(wish.folder, names, lambda path: tree.blob(path, LARGEST) or b"")
        declared(wish.name, None, files, load(EMPTY, MANIFEST))
    except Invalid as invalid:
        return tuple(one for one in invalid.problems if one not in told and one.code not in NEED_A_MANIFEST)
    except Failure:
        return ()
    return ()


def unknown_dependencies(tree: Tree, wanted: Wanted, names: Collection[str]) -> tuple[Problem, ...]:
    """Services it wants to be released after, and that nobody has heard of."""
    unknown = [name for name in wanted.manifest.depends_on if name not in names]
    if not unknown:
        return ()
    file = f"{wanted.folder}/{MANIFEST}"
    document = load(tree.blob(file, LARGEST) or EMPTY, file)
    return tuple(_unknown(name, wanted, document, names) for name in unknown)


def _unknown(name: str, wanted: Wanted, document: Document, names: Collection[str]) -> Problem:
    number = wanted.manifest.depends_on.index(name)
    path = ("depends_on", number)
    # It may stand in the platform's defaults or overrides; then the manifest has no line to show.
    at = document.position(path) if document.holds(path) else None
    return Problem(
        f"there is no service `{name}` to depend on",
        "unknown-service",
        wanted.name,
        document.file,
        at.line if at else None,
        at.column if at else None,
        at.excerpt if at else None,
        remedy=did_you_mean(name, names) or "remove it",
    )
