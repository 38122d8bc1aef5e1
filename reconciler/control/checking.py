"""`check`: what a push would be told, without a server, a journal or anybody's traffic.

A working tree is read by the same reader as a revision, its services are started by the same engine and their
suites played by the same gate. Everything that is wrong is collected, nothing is printed. Refuses to keep a
service running: what was started is gone when the answer comes.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

from reconciler.control.gate import Gate, Shelf
from reconciler.control.reading import Reader
from reconciler.control.remarks import hidden_problems, unknown_dependencies
from reconciler.control.secrets import Secrets
from reconciler.control.trial import OpenTree, TrialFolders, trials
from reconciler.control.view import TEXT_LIMIT
from reconciler.control.wanted import Reading, Unfit, Wanted, Wish
from reconciler.environment import Environments
from reconciler.model.failure import Failure, Stalled
from reconciler.model.names import Revision, ServiceName
from reconciler.model.platform import FILE, MANIFEST, Platform, Prune, readable_part
from reconciler.model.problem import Problem
from reconciler.model.verdict import Report, Verdict
from reconciler.model.verdict import problems as problems_of
from reconciler.source.tree import Tree

Say = Callable[[ServiceName, str], None]
"""Told what is being done for which service."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found about one service, or about one file that belongs to none."""

    name: str
    file: str | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    seconds: float = 0.0
    report: Report | None = None
    """What its suites said, where they were played."""
    detail: str | None = None
    """Output that explains a failure: a traceback, the resolver's words."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which services are meant."""

    below: str = ""
    """Only those in this folder of the repository, or around it."""
    changed: frozenset[ServiceName] | None = None
    """Only those; None: whether changed or not."""

    def holds(self, name: str, folder: str) -> bool:
        return (self.changed is None or name in self.changed) and self.covers(folder)

    def covers(self, folder: str) -> bool:
        return not self.below or f"{folder}/".startswith(f"{self.below}/") or self.below.startswith(f"{folder}/")


@dataclass(frozen=True)
class Survey:
    """A tree as it was read, as far as it could be."""

    open_tree: OpenTree
    reading: Reading
    broken: tuple[Problem, ...] = ()
    """What is wrong with the platform's own file; the manifests were then read without it."""

    @cached_property
    def tree(self) -> Tree:
        return self.open_tree()

    def wanted(self, scope: Scope) -> list[Wanted]:
        wishes = self.reading.wishes.values()
        return [wish for wish in wishes if isinstance(wish, Wanted) and scope.holds(wish.name, wish.folder)]


def survey(open_tree: OpenTree, revision: Revision, hosts: tuple[str, ...] = (), *, obey_locks: bool = True) -> Survey:
    reader, tree = Reader(Shelf(), hosts, obey_locks=obey_locks), open_tree()
    try:
        return Survey(open_tree, reader.read(tree, revision))
    except Stalled as stalled:
        broken = told(stalled, None, FILE)
    try:
        return Survey(open_tree, reader.read(tree, revision, _readable_platform(tree)), broken)
    except Stalled:
        return Survey(open_tree, Reading(revision, Platform().mount, Prune(), {}, frozenset()), broken)


def changed_since(now: Survey, before: Survey) -> frozenset[ServiceName]:
    """What would not be kept: services whose digest moved, appeared, went away or cannot be told."""
    names = now.reading.wishes.keys() | before.reading.wishes.keys()
    return frozenset(name for name in names if _print(now, name) != _print(before, name))


def read_only(found: Survey, scope: Scope, before: Survey | None = None) -> tuple[Checked, ...]:
    """Everything that can be said without starting anything, apart from the services that can be started."""
    wishes = found.reading.wishes
    unfit = [_unfit(wish, found.tree) for _, wish in sorted(wishes.items()) if isinstance(wish, Unfit)]
    gone = [_gone(name, wish) for name, wish in _gone_since(found, before).items()]
    services = [one for one in (*unfit, *gone) if scope.holds(one.name, (one.file or "").removesuffix(f"/{MANIFEST}"))]
    odd = [Checked(one.file or "", one.file, (one,)) for one in found.reading.misnamed]
    odd += [Checked(one.file or "", one.file, (), (one,)) for one in found.reading.warnings if one.file != FILE]
    return (
        *_platform(found, scope),
        *(one for one in odd if scope.covers(one.file or "")),
        *services,
    )


async def try_all(
    found: Survey,
    scope: Scope,
    folders: TrialFolders,
    environments: Environments,
    secrets: Secrets,
    *,
    tests: bool,
    say: Say,
) -> tuple[Checked, ...]:
    """Start every service that is meant, play its suites, and throw it away. A few at a time."""
    gate = Gate(Shelf(), folders, "http://127.0.0.1:8000", secrets.veil, secrets.reveal)
    async with trials(folders, environments, secrets) as room:

        async def one(wanted: Wanted) -> Checked:
            began, checked = time.monotonic(), _subject(wanted)
            checked = replace(checked, warnings=unknown_dependencies(found.tree, wanted, found.reading.wishes))
            # What is suspended is left as it is by a sync; all there is to say has been said by reading it.
            if wanted.manifest.suspend:
                return checked
            try:
                async with room.start(wanted, found.open_tree, partial(say, wanted.name)) as crew:
                    if tests:
                        say(wanted.name, "playing its suite")
                        checked = _judged(checked, wanted, await gate.play(wanted, crew, found.open_tree()))
            except Failure as failure:
                checked = _with(checked, failure)
            say(wanted.name, "checked")
            return replace(checked, seconds=time.monotonic() - began)

        # When it is cancelled, a group waits until each of them has cleaned up; the place they use goes after that.
        async with asyncio.TaskGroup() as group:
            tried = [group.create_task(one(wanted)) for wanted in found.wanted(scope)]
        return tuple(task.result() for task in tried)


def failed(wish: Wish, failure: Failure) -> Checked:
    """A service with what is wrong with it."""
    return _with(_subject(wish), failure)


def told(failure: Failure, service: str | None, file: str) -> tuple[Problem, ...]:
    """A failure as problems, of which there is always at least one, each with a place."""
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", failure.reason).lower()
    problems = failure.problems or (Problem(failure.message, code),)
    return tuple(replace(one, service=one.service or service, file=one.file or file) for one in problems)


def _readable_platform(tree: Tree) -> Platform:
    try:
        return readable_part(tree.blob(FILE, TEXT_LIMIT))
    except Failure:
        return Platform()


def _print(found: Survey, name: ServiceName) -> object:
    """Equal where nothing about a service moved."""
    wish = found.reading.wishes.get(name)
    if isinstance(wish, Wanted):
        return wish.ingredients.digest, wish.manifest.suspend, wish.manifest.gate
    return wish and (found.tree.object_id(wish.folder), wish.failure.message)


def _gone_since(found: Survey, before: Survey | None) -> Mapping[ServiceName, Wish]:
    if before is None:
        return {}
    now = found.reading.wishes
    return {name: wish for name, wish in sorted(before.reading.wishes.items()) if name not in now}


def _platform(found: Survey, scope: Scope) -> Iterator[Checked]:
    warnings = tuple(one for one in found.reading.warnings if one.file == FILE)
    whole = not scope.below and scope.changed is None
    if found.broken or warnings or (whole and found.tree.object_id(FILE) is not None):
        yield Checked(FILE, FILE, found.broken, warnings)


def _subject(wish: Wish) -> Checked:
    return Checked(wish.name, f"{wish.folder}/{MANIFEST}")


def _unfit(wish: Unfit, tree: Tree) -> Checked:
    checked = failed(wish, wish.failure)
    return replace(checked, problems=(*checked.problems, *hidden_problems(tree, wish)))


def _with(checked: Checked, failure: Failure) -> Checked:
    problems = told(failure, checked.name, checked.file or "")
    return replace(checked, problems=problems, detail=failure.detail)


def _gone(name: ServiceName, wish: Wish) -> Checked:
    warning = Problem(f"`{name}` is gone; the next sync takes it away", "service-gone", name, wish.folder)
    return Checked(name, f"{wish.folder}/{MANIFEST}", warnings=(warning,))


def _judged(checked: Checked, wanted: Wanted, report: Report) -> Checked:
    """A suite that is no gate is reported, and fails nothing."""
    checked = replace(checked, report=report)
    if report.verdict is not Verdict.PASSED:
        found = problems_of(report)
        if wanted.manifest.gate == "tests":
            return replace(checked, problems=found)
        return replace(checked, warnings=(*checked.warnings, *found))
    flaky = (suite for suite in report.suites if suite.flaky)
    warnings = (
        Problem(f"{one.name} failed, was played again, and passed", "flaky-suite", wanted.name, one.file)
        for one in flaky
    )
    return replace(checked, warnings=(*checked.warnings, *warnings))
