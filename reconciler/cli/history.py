"""`reconciler history`: the syncs that were, or the releases of one service."""

import itertools
import json
from typing import Annotated, Any

import typer

from reconciler.cli.server import DATA, DataOption, JsonOption, find, segment
from reconciler.cli.terminal import Cell, ago, safe, say, say_table, short

STATES = {"done": ("✓", "green"), "failed": ("✗", "red"), "superseded": ("-", "dim")}
UNDER_WAY = ("…", "blue")


def add_to(app: typer.Typer) -> None:
    app.command()(history)


def history(
    name: Annotated[str | None, typer.Argument(help="The releases of one service.", show_default="all syncs")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Say what happened: syncs, or the releases of one service."""
    server = find(data)
    path = f"/v1/services/{segment(name)}/releases" if name else "/v1/syncs"
    items = list(itertools.islice(server.items(path), limit))
    if as_json:
        say(json.dumps(items, indent=2))
    else:
        say_table([_release_row(item) if name else _sync_row(item) for item in items])


def _sync_row(sync: dict[str, Any]) -> tuple[Cell, ...]:
    mark, colour = STATES.get(sync["state"], UNDER_WAY)
    told = ", ".join(f"{action['verb']} {action['service']} {action['outcome']}" for action in sync["actions"])
    return (
        Cell(mark, colour),
        Cell(safe(sync["id"]), "bold"),
        Cell(safe(sync["state"])),
        Cell(safe(sync["trigger"])),
        Cell(short(sync["revision"])),
        Cell(ago(sync["requested_at"]), "dim"),
        Cell(safe(sync["message"] or told or f"{sync['kept']} kept")),
    )


def _release_row(release: dict[str, Any]) -> tuple[Cell, ...]:
    mark, colour = STATES["failed"] if release["reason"] else STATES["done"] if release["live_at"] else UNDER_WAY
    return (
        Cell(mark, colour),
        Cell(safe(release["id"]), "bold"),
        Cell(safe(release["phase"])),
        Cell(safe(release["reason"] or "-")),
        Cell(short(release["revision"])),
        Cell(ago(release["created_at"]), "dim"),
        Cell(safe(release["message"] or "")),
    )
