"""`reconciler sync`: look at the repository now, not at the next poll."""

import sys
import time
from typing import Annotated, Any

import typer

from reconciler.cli.glance import advice
from reconciler.cli.server import DATA, DataOption, Server, find, segment
from reconciler.cli.table import Cell, flowed, say_table
from reconciler.cli.terminal import Screen, safe, say, short

LOOK_EVERY = 0.1
OUTCOMES = {"done": ("✓", "green"), "failed": ("✗", "red"), "superseded": ("-", "dim"), "pending": ("…", "blue")}


def add_to(app: typer.Typer) -> None:
    app.command()(sync)


def sync(
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is finished, and say what became of it.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed and has not changed since.")] = False,
    data: DataOption = DATA,
) -> None:
    """Look at the repository now. With --wait: exit code 1 when something failed."""
    server = find(data)
    requested = server.post("/v1/sync", retry=retry)
    if not wait:
        say(f"sync {safe(requested['id'])} {safe(requested['state'])}")
        return
    finished = _wait(server, requested)
    _say(finished)
    behind = _what_stayed_behind(server, finished)
    if behind:
        _say_flowed(Cell(f"✗ {behind}", "red"))
    raise typer.Exit(0 if _is_good(finished) and not behind else 1)


def _wait(server: Server, sync: dict[str, Any]) -> dict[str, Any]:
    """Until it ends; where a newer one took its place, until that ends."""
    while sync["state"] in ("waiting", "running", "superseded"):
        if sync["state"] == "superseded":
            newest = server.get("/v1/syncs", limit=1)["items"]
            if not newest or newest[0]["id"] == sync["id"]:
                return sync
            sync = newest[0]
        else:
            time.sleep(LOOK_EVERY)
            sync = server.get(f"/v1/syncs/{segment(sync['id'])}")
    return sync


def _say(sync: dict[str, Any]) -> None:
    rows = []
    for action in sync["actions"]:
        mark, colour = OUTCOMES.get(action["outcome"], ("?", "yellow"))
        told = ": ".join(part for part in (action["reason"], action["message"] or action["why"]) if part)
        rows.append((Cell(mark, colour), Cell(action["verb"]), Cell(safe(action["service"]), "bold"), Cell(safe(told))))
    say_table(rows)
    mark, colour = OUTCOMES["done" if _is_good(sync) else "failed"]
    held = sum(action["verb"] == "hold" for action in sync["actions"])
    counted = {"kept": sync["kept"], "held": held, "changed": len(rows) - held}
    counts = ", ".join(f"{count} {what}" for what, count in counted.items() if count or what == "changed")
    message = f": {safe(sync['message'])}" if sync["message"] else ""
    _say_flowed(Cell(f"{mark} {short(sync['revision'])}", colour), Cell(f"{counts}, {safe(sync['state'])}{message}"))
    for parts in advice([action["service"] for action in sync["actions"] if action["outcome"] == "failed"]):
        _say_flowed(*parts)


def _say_flowed(*parts: Cell) -> None:
    for line in flowed(parts, Screen.of(sys.stdout)):
        say(line)


def _what_stayed_behind(server: Server, sync: dict[str, Any]) -> str:
    """A sync that had nothing to do is done also where something failed before and stays as it was."""
    platform = server.get("/v1/status")
    attempted, applied = platform["revision_attempted"], platform["revision_applied"]
    if not _is_good(sync) or sync["revision"] != attempted or attempted == applied:
        return ""
    since = f"what all follow is {short(applied)}" if applied else "nothing is followed by all yet"
    return f"{short(attempted)} is not applied everywhere, {since}: `reconciler status` says what failed before"


def _is_good(sync: dict[str, Any]) -> bool:
    return sync["state"] == "done" and all(action["outcome"] != "failed" for action in sync["actions"])
