"""One revision while it is being read: a service's folder becomes a wish, or says why it cannot."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.control.gate import Shelf, read_suites
from reconciler.control.wanted import Unfit, Wanted, Wish
from reconciler.model.digest import Ingredients, fingerprint
from reconciler.model.document import Document, Invalid, load
from reconciler.model.failure import Failure, Reason, Stalled
from reconciler.model.manifest import Manifest, configuration
from reconciler.model.names import ObjectId, Revision, ServiceName
from reconciler.model.platform import (
    MANIFEST,
    Platform,
    effective,
    requirement_lines,
)
from reconciler.model.position import Position
from reconciler.model.problem import Problem
from reconciler.model.requirement import Requirements, from_list, from_lock, from_pyproject, from_text
from reconciler.source.tree import Tree

TEXT_LIMIT = 256 * 1024
LOCK = "service.lock"
ROUTER = "router.py"
LOCK_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Folder:
    """What was read of one folder, and what it was read from."""

    tree: ObjectId
    wish: Wish | None
    """None: the folder holds no manifest, so it is no service."""
    has_router: bool = False
    """Noticed only where there is no manifest."""
    watch: Mapping[str, str] = field(default_factory=dict)
    """Each watched pattern and what it stood for."""

    @property
    def must_be_read_again(self) -> bool:
        """What is wrong with it may pass without a commit."""
        return isinstance(self.wish, Unfit) and self.wish.may_pass

    @property
    def is_restless(self) -> bool:
        return bool(self.watch) or self.must_be_read_again


@dataclass(slots=True)
class View:
    """One revision while it is being read."""

    tree: Tree
    revision: Revision
    platform: Platform
    hosts: tuple[str, ...]
    shelf: Shelf
    obey_locks: bool
    _patterns: dict[str, tuple[dict[str, ObjectId], str]] = field(default_factory=dict)

    def watched(self, pattern: str) -> tuple[dict[str, ObjectId], str]:
        """What a pattern stands for, and a hash of that: looked up once, however many services watch it."""
        if pattern not in self._patterns:
            found = self.tree.matches(pattern)
            self._patterns[pattern] = (found, fingerprint(found))
        return self._patterns[pattern]

    def shows_the_same(self, before: Folder) -> bool:
        """Whatever the folder watched is what it was."""
        try:
            return all(self.watched(pattern)[1] == stood_for for pattern, stood_for in before.watch.items())
        except Failure:
            return False


@dataclass(frozen=True, slots=True)
class _Found:
    """A service whose own file can be read."""

    name: ServiceName
    path: str
    object_id: ObjectId
    manifest: Manifest
    document: Document


def read_folder(path: str, object_id: ObjectId, view: View) -> Folder:
    name = ServiceName(path.rpartition("/")[2])
    watch: dict[str, str] = {}
    try:
        text = view.tree.blob(f"{path}/{MANIFEST}", TEXT_LIMIT)
        if text is None:
            return Folder(object_id, None, view.tree.object_id(f"{path}/{ROUTER}") is not None)
        document = load(text, f"{path}/{MANIFEST}")
        manifest = effective(view.platform, document, name, hosts=view.hosts)
        watch = {pattern: view.watched(pattern)[1] for pattern in manifest.watch}
        found = _Found(name, path, object_id, manifest, document)
        return Folder(object_id, _wanted(found, view), watch=watch)
    except Invalid as invalid:
        failure: Failure = manifest_invalid(f"{path}/{MANIFEST}", invalid.problems)
    except Failure as foreseen:
        failure = foreseen
    return Folder(object_id, Unfit(name, path, view.platform.prefix(name), failure, view.revision), watch=watch)


def _wanted(found: _Found, view: View) -> Wanted:
    name, path, manifest, document = found.name, found.path, found.manifest, found.document
    requirements = _requirements(found, view)
    shared = [view.watched(pattern) for pattern in manifest.watch]
    prefix = view.platform.prefix(name)
    watched = tuple(sorted({place for matches, _ in shared for place in matches}))
    ingredients = Ingredients(
        code=found.object_id,
        shared=fingerprint([stood_for for _, stood_for in shared]) if shared else "",
        environment=requirements.key,
        configuration=fingerprint(configuration(manifest, prefix)),
    )
    view.shelf.put(ingredients.in_git, read_suites(name, path, watched, manifest, document, view.tree))
    return Wanted(
        name=name,
        folder=path,
        prefix=prefix,
        manifest=manifest,
        requirements=requirements,
        ingredients=ingredients,
        watched=watched,
        revision=view.revision,
        places=_places(manifest, document),
    )


def _places(manifest: Manifest, document: Document) -> Mapping[str, Position]:
    """Where the service's own file names its secrets; those that the platform's file adds stand in no line of it."""
    written = document.data.get("secrets")
    names = [entry.get("name") if isinstance(entry, Mapping) else entry for entry in written or ()]
    places = {name: document.position(("secrets", index)) for index, name in enumerate(names)}
    return {secret.name: places[secret.name] for secret in manifest.secrets if secret.name in places}


def _requirements(found: _Found, view: View) -> Requirements:
    """What the service asks for; a lock in its folder makes it exact."""
    path, manifest, document = found.path, found.manifest, found.document
    locked = view.tree.blob(f"{path}/{LOCK}", LOCK_LIMIT) if view.obey_locks else None
    if locked is not None:
        return from_lock(locked, f"{path}/{LOCK}", hosts=view.hosts)
    if not isinstance(manifest.requirements, str):
        return from_list(requirement_lines(view.platform, document, found.name, manifest), hosts=view.hosts)
    file = f"{path}/{manifest.requirements}"
    content = view.tree.blob(file, TEXT_LIMIT)
    if content is None:
        place = document.position(("requirements",))
        missing = Problem(
            f"{manifest.requirements} is not in the folder",
            "not-found",
            found.name,
            place.file,
            place.line,
            place.column,
            place.excerpt,
            remedy="add the file, or list the requirements here",
        )
        raise manifest_invalid(place.file, (missing,))
    read = from_pyproject if file.endswith(".toml") else from_text
    return read(content, file, hosts=view.hosts)


def manifest_invalid(file: str, problems: tuple[Problem, ...]) -> Stalled:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Stalled(
        Reason.MANIFEST_INVALID,
        f"{first.place or file}: {first.message}{more}",
        problems=tuple(replace(problem, file=problem.file or file) for problem in problems),
    )
