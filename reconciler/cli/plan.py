"""`reconciler plan`: what the next sync would do, why, and who will notice, without doing it."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli.check import (
    BuildOption,
    EnvFileOption,
    IndexOption,
    UrlOption,
    environments_in,
    given_secrets,
    interruptible,
    place_below,
    survey_at,
)
from reconciler.cli.progress import Progress
from reconciler.cli.root import root_of
from reconciler.cli.server import DATA, DataOption, JsonOption, Server, Unreachable, find
from reconciler.cli.table import Cell, say_table
from reconciler.cli.terminal import paint, safe, say, short
from reconciler.misconfigured import Misconfigured

if TYPE_CHECKING:
    from reconciler.control.checking import Survey
    from reconciler.control.secrets import Secrets
    from reconciler.environment import Environments
    from reconciler.model.plan_status import PlanStatus

SHADES = {"start": "green", "replace": "yellow", "remove": "red", "hold": "dim"}
SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
INDENT = " " * 9
HEAD = "HEAD"
PLANNED_WITHIN = 600.0
"""Environments may have to be built before anything can be started."""


def add_to(app: typer.Typer) -> None:
    app.command()(plan)


def plan(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH|REF]",
            help="A revision; or a checkout: its commit, or, where no server runs, the folder as it is.",
            show_default="the branch",
        ),
    ] = None,
    changed_since: Annotated[
        str | None,
        typer.Option(
            "--changed-since", metavar="REF", help="Ask no server: plan from this commit to the folder as it is."
        ),
    ] = None,
    routes: Annotated[
        bool, typer.Option("--routes/--no-routes", help="Start what would change, privately, to compare its routes.")
    ] = True,
    data: DataOption = DATA,
    index: IndexOption = None,
    allow_build: BuildOption = None,
    allow_url: UrlOption = None,
    env_file: EnvFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the next sync would do, and why, without doing it. Exit code 1 when some of it would fail."""
    is_folder = what is not None and Path(what).is_dir()
    server = None if changed_since is not None else _server(data, needed=not is_folder)
    if server is not None:
        ref = _commit_of(Path(what)) if what and is_folder else what
        planned: dict[str, Any] = server.wait_for("/v1/plan", PLANNED_WITHIN, ref=ref, routes=routes)
    else:
        folder, base = Path(what or ".").resolve(), changed_since or HEAD
        logging.getLogger("reconciler").addHandler(logging.NullHandler())
        with place_below(data) as (place, run), Progress.on(sys.stderr) as progress:
            shop, secrets = environments_in(place, index, allow_build), given_secrets(env_file)
            hosts = tuple(allow_url or ())
            local = interruptible(_plan_here(folder, base, place, run, shop, secrets, hosts, routes, progress))
        planned = {**local.model_dump(mode="json"), "revision": None}
    if as_json:
        say(json.dumps(planned, indent=2))
    else:
        _tell(planned, short(planned["revision"]) if server else f"this folder, since {safe(changed_since or HEAD)}")
    raise typer.Exit(0 if _is_good(planned) else 1)


def _server(data: Path, *, needed: bool) -> Server | None:
    try:
        return find(data)
    except Unreachable:
        if needed:
            raise
        return None


async def _plan_here(
    folder: Path,
    base: str,
    place: Path,
    run: Path,
    shop: "Environments",
    secrets: "Secrets",
    hosts: tuple[str, ...],
    routes: bool,
    progress: Progress,
) -> "PlanStatus":
    """From a commit to the folder as it is: both sides are started privately, since neither serves."""
    from reconciler.control import checking
    from reconciler.control.planning import between
    from reconciler.control.trial import TrialFolders
    from reconciler.model.failure import Failure
    from reconciler.model.names import Revision
    from reconciler.source.working import WorkingTree

    try:
        working = await asyncio.to_thread(WorkingTree.take, root_of(folder), place / "tree")
    except Failure as failure:
        raise Misconfigured(failure.message) from failure
    now = checking.survey(working.tree, Revision("working-tree", working.sha), hosts)
    before: Survey | None = None
    if base != HEAD or working.at(base) is not None:
        before = survey_at(working, base, hosts)
    await shop.open()
    try:
        folders = TrialFolders(place, run, place / "environments")
        return await between(before, now, folders, shop, secrets, routes=routes, say=progress.say)
    finally:
        await shop.close()


def _tell(planned: dict[str, Any], headline: str) -> None:
    """Every change with what it leads to below it."""
    changes = [action for action in planned["actions"] if action["verb"] != "keep"]
    widest = max((len(action["service"]) for action in changes), default=0)
    for action in changes:
        say_table([_row(action, widest)])
        for line in _consequences(action):
            say(f"{INDENT}{line}".rstrip())
    if planned["message"]:
        say(f"{paint('✗', 'red')} nothing would be done: {safe(planned['message'])}")
        return
    kept = len(planned["actions"]) - len(changes)
    breaking = sum(action["breaking"] for action in changes)
    told = f", {paint(f'{breaking} breaking', 'red')}" if breaking else ""
    say(f"{headline}  {len(changes)} to change{told}, {kept} to keep")


def _row(action: dict[str, Any], widest: int) -> tuple[Cell, ...]:
    verb = str(action["verb"])
    name = safe(str(action["service"])).ljust(widest)
    return Cell(verb.ljust(7), SHADES.get(verb, "")), Cell(name, "bold"), Cell(safe(str(action["why"])))


def _consequences(action: dict[str, Any]) -> Iterator[str]:
    if action["verb"] == "start" and action["packages"]:
        yield f"{len(action['packages'])} packages"
    else:
        yield from (_package(change) for change in action["packages"])
    for route in action["routes"] or ():
        sign, shade = SIGNS[route["kind"]]
        gone = f"  {paint('breaks callers', 'red')}" if route["kind"] == "removed" else ""
        yield f"{paint(sign, shade)} {safe(route['method'])} {safe(route['path'])}{gone}"
        yield from (f"    {paint('breaks callers:', 'red')} {safe(each)}" for each in ([] if gone else route["breaks"]))
        yield from (f"    {safe(each)}" for each in route["notes"])
    if action["message"] and action["message"] != action["why"]:
        yield f"{paint('would fail:', 'red')} {safe(action['message'])}"


def _package(change: dict[str, Any]) -> str:
    name, old, new = (safe(str(change[part])) for part in ("name", "old", "new"))
    if change["old"] is None:
        return f"{name} {new} added"
    return f"{name} {old} removed" if change["new"] is None else f"{name} {old} → {new}"


def _is_good(planned: dict[str, Any]) -> bool:
    return not planned["message"] and not any(action["message"] for action in planned["actions"])


def _commit_of(folder: Path) -> str:
    import git

    try:
        with git.Repo(folder, search_parent_directories=True) as repository:
            return str(repository.head.commit.hexsha)
    except (git.exc.InvalidGitRepositoryError, ValueError) as error:
        raise Misconfigured(f"{folder.resolve()} is at no commit of a git repository") from error
