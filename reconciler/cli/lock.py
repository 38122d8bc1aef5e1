"""`reconciler lock`: write down which packages a service runs with, to the last hash."""

import asyncio
import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.check import (
    PLACE,
    BuildOption,
    IndexOption,
    PlaceOption,
    UrlOption,
    as_report,
    environments_in,
    interruptible,
    place_below,
)
from reconciler.cli.progress import Progress
from reconciler.cli.root import root_of
from reconciler.cli.terminal import safe, say
from reconciler.misconfigured import Misconfigured

if TYPE_CHECKING:
    from reconciler.control.checking import Checked, Scope
    from reconciler.control.wanted import Wanted
    from reconciler.environment import Environments


def add_to(app: typer.Typer) -> None:
    app.command()(lock)


def lock(
    path: Annotated[
        Path, typer.Argument(help="A service's folder, or one with services below it.", show_default="this folder")
    ] = Path(),
    data: PlaceOption = PLACE,
    index: IndexOption = None,
    allow_build: BuildOption = None,
    allow_url: UrlOption = None,
) -> None:
    """Resolve a service's requirements anew and write them to its service.lock, with hashes.

    Commit the file, and the service gets exactly these packages until the next lock. Of several services, those
    that require something are locked, and those that have a lock.
    """
    from reconciler.cli.render import terminal

    logging.getLogger("reconciler").addHandler(logging.NullHandler())
    with place_below(data) as (place, _run), Progress.on(sys.stderr) as progress:
        shop = environments_in(place, index, allow_build)
        failed = interruptible(_lock(path.resolve(), place, shop, tuple(allow_url or ()), progress))
    if failed:
        sys.stdout.write(terminal.text(as_report(failed, 0.0)))
        raise typer.Exit(1)


async def _lock(
    path: Path, place: Path, shop: "Environments", hosts: tuple[str, ...], progress: Progress
) -> "tuple[Checked, ...]":
    from reconciler.control import checking
    from reconciler.model.failure import Failure
    from reconciler.model.names import Revision
    from reconciler.source.working import WorkingTree

    root = root_of(path)
    try:
        working = await asyncio.to_thread(WorkingTree.take, root, place / "tree")
    except Failure as failure:
        raise Misconfigured(failure.message) from failure
    found = checking.survey(working.tree, Revision("working-tree", working.sha), hosts, obey_locks=False)
    scope = checking.Scope("" if path == root else path.relative_to(root).as_posix())
    chosen = [wanted for wanted in found.wanted(scope) if _is_meant(wanted, root, scope)]
    failed = [one for one in checking.read_only(found, scope) if one.problems]
    if not chosen and not failed:
        raise Misconfigured(f"there is nothing to lock in {path}: no service there requires anything")
    progress.expect(len(chosen))
    await shop.open()
    try:
        for wanted in chosen:
            try:
                text = await shop.lock_text(wanted.requirements, partial(progress.say, wanted.name))
            except Failure as failure:
                failed.append(checking.failed(wanted, failure))
            else:
                progress.clear()
                _write(root, wanted, text)
    finally:
        await shop.close()
    return tuple(failed)


def _is_meant(wanted: "Wanted", root: Path, scope: "Scope") -> bool:
    from reconciler.control.view import LOCK

    return scope.below == wanted.folder or bool(wanted.requirements.lines) or (root / wanted.folder / LOCK).exists()


def _write(root: Path, wanted: "Wanted", text: str) -> None:
    from reconciler.control.view import LOCK
    from reconciler.data_folder import write_whole
    from reconciler.model.package_change import difference

    file = root / wanted.folder / LOCK
    before = _packages(file.read_bytes(), f"{wanted.folder}/{LOCK}") if file.exists() else {}
    after = _packages(text.encode(), f"{wanted.folder}/{LOCK}")
    say(f"{safe(wanted.folder)}/{LOCK}: {len(after)} packages")
    if not file.exists() or file.read_text(errors="replace") != text:
        write_whole(file, text, 0o644)
    for change in difference(before, after) if before else ():
        say(f"  {safe(str(change))}")


def _packages(content: bytes, file: str) -> dict[str, str]:
    """What a lock pins; one that cannot be read pins nothing, and is replaced."""
    from reconciler.model.failure import Failure
    from reconciler.model.requirement import from_lock, split_hashes

    try:
        lines = from_lock(content, file).lines
    except Failure:
        return {}
    pins = (split_hashes(line)[0].partition(";")[0].partition("==") for line in lines)
    return {name.strip(): version.strip() for name, _, version in pins}
