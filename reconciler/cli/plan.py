"""`reconciler plan`: what the next sync would do, and why, without doing it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from reconciler.cli.server import DATA, DataOption, JsonOption, find
from reconciler.cli.terminal import Cell, safe, say, say_table, short
from reconciler.misconfigured import Misconfigured

SHADES = {"start": "green", "replace": "yellow", "remove": "red", "hold": "dim"}


def add_to(app: typer.Typer) -> None:
    app.command()(plan)


def plan(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH|REF]", help="A checkout, for the commit it is at, or a revision.", show_default="the branch"
        ),
    ] = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Say what the next sync would do, and why, without doing it."""
    server = find(data)
    ref = _commit_of(Path(what)) if what and Path(what).is_dir() else what
    planned = server.get("/v1/plan", ref=ref)
    if as_json:
        say(json.dumps(planned, indent=2))
        return
    changes = [action for action in planned["actions"] if action["verb"] != "keep"]
    say_table([_row(action) for action in changes])
    kept = len(planned["actions"]) - len(changes)
    say(f"{short(planned['revision'])}  {len(changes)} to change, {kept} to keep")


def _row(action: dict[str, Any]) -> tuple[Cell, ...]:
    verb = str(action["verb"])
    return Cell(verb, SHADES.get(verb, "")), Cell(safe(str(action["service"])), "bold"), Cell(safe(str(action["why"])))


def _commit_of(folder: Path) -> str:
    import git

    try:
        with git.Repo(folder, search_parent_directories=True) as repository:
            return str(repository.head.commit.hexsha)
    except (git.exc.InvalidGitRepositoryError, ValueError) as error:
        raise Misconfigured(f"{folder.resolve()} is at no commit of a git repository") from error
