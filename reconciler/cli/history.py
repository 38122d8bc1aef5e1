"""`reconciler history`: the syncs that were, or the releases of one service."""

import itertools
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from reconciler.cli.moments import ago, between, lasted
from reconciler.cli.server import DATA, DataOption, JsonOption, Server, find, segment
from reconciler.cli.table import BELOW, Cell, Row, blocks, flowed, table
from reconciler.cli.terminal import Screen, safe, say, short

Sync = dict[str, Any]
Release = dict[str, Any]

STATES = {"done": ("✓", "green"), "failed": ("✗", "red"), "superseded": ("-", "dim")}
UNDER_WAY = ("…", "blue")
VERDICTS = {"passed": "green", "failed": "red", "inconclusive": "yellow"}
SPARE_OF_SYNC = (3, 6, 2, 4, 5)
"""Trigger, how long it took, state, revision, when: what a narrow screen does without first."""
SPARE_OF_RELEASE = (5, 4, 6, 3, 2)
"""Verdict, how long it lived, when, revision, phase."""


def add_to(app: typer.Typer) -> None:
    app.command()(history)


def history(
    name: Annotated[str | None, typer.Argument(help="The releases of one service.", show_default="all syncs")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Say what happened: syncs with what they did, or the releases of one service and how long they lived."""
    server, screen = find(data), Screen.of(sys.stdout)
    path = f"/v1/services/{segment(name)}/releases" if name else "/v1/syncs"
    items = list(itertools.islice(server.items(path), limit))
    if as_json:
        say(json.dumps(items, indent=2))
        return
    for line in _releases(server, name, items, screen) if name else _syncs(items, screen):
        say(line)


def _syncs(syncs: Sequence[Sync], screen: Screen) -> Iterator[str]:
    """What each did stands below it."""
    heads = blocks([_sync_row(sync) for sync in syncs], screen, spare=SPARE_OF_SYNC)
    for sync, head in zip(syncs, heads, strict=True):
        yield from head
        yield from _deeds(sync, screen)


def _sync_row(sync: Sync) -> Row:
    sign, colour = STATES.get(sync["state"], UNDER_WAY)
    started = sync["started_at"]
    return (
        Cell(sign, colour),
        Cell(safe(sync["id"]), "bold"),
        Cell(safe(sync["state"])),
        Cell(safe(sync["trigger"])),
        Cell(short(sync["revision"])),
        Cell(ago(sync["requested_at"]), "dim"),
        Cell(f"in {lasted(between(started, sync['finished_at']))}" if started else "", "dim"),
        Cell(safe("; ".join(part for part in (_commit(sync), sync["message"]) if part))),
    )


def _deeds(sync: Sync, screen: Screen) -> Iterator[str]:
    took = defaultdict(list)
    for phase in sync["phases"]:
        took[phase["service"]].append(f"{safe(phase['name'])} {lasted(phase['seconds'])}")
    kept = [f"{sync['kept']} kept"] if sync["kept"] else []
    yield from _listed([*took[None], *kept], screen, BELOW)
    rows = blocks([_action_row(action) for action in sync["actions"]], screen, BELOW)
    for action, lines in zip(sync["actions"], rows, strict=True):
        yield from lines
        yield from _listed(took[action["service"]], screen, 2 * BELOW)


def _action_row(action: dict[str, Any]) -> Row:
    sign, colour = STATES.get(action["outcome"], UNDER_WAY)
    why = ": ".join(part for part in (action["reason"], action["message"] or action["why"]) if part)
    return Cell(sign, colour), Cell(action["verb"]), Cell(safe(action["service"]), "bold"), Cell(safe(why))


def _listed(facts: Sequence[str], screen: Screen, indent: str) -> Iterator[str]:
    if facts:
        yield from table([(Cell(", ".join(facts), "dim"),)], screen, indent)


def _releases(server: Server, name: str, releases: Sequence[Release], screen: Screen) -> Iterator[str]:
    yield from table([_release_row(release) for release in releases], screen, spare=SPARE_OF_RELEASE)
    figures = list(_figures(server.get(f"/v1/services/{segment(name)}/delivery")))
    if figures:
        yield ""
        yield from flowed(figures, screen)


def _release_row(release: Release) -> Row:
    sign, colour = STATES["failed"] if release["reason"] else STATES["done"] if release["live_at"] else UNDER_WAY
    told = ": ".join(part for part in (release["reason"], release["message"]) if part)
    return (
        Cell(sign, colour),
        Cell(safe(release["id"]), "bold"),
        Cell(safe(release["phase"])),
        Cell(short(release["revision"])),
        Cell(_life(release), "dim"),
        Cell(release["verdict"] or "", VERDICTS.get(release["verdict"], "")),
        Cell(ago(release["created_at"]), "dim"),
        Cell(safe("; ".join(part for part in (_commit(release), told) if part))),
    )


def _life(release: Release) -> str:
    """How long it served."""
    if not release["live_at"]:
        return "never live"
    served = lasted(between(release["live_at"], release["retired_at"]))
    return f"lived {served}" if release["retired_at"] else f"live for {served}"


def _commit(told: dict[str, Any]) -> str:
    commit = told["commit"]
    return f"{commit['author']}: {commit['subject']}" if commit else ""


def _figures(delivery: dict[str, Any]) -> Iterator[Cell]:
    """How fast and how safely it is released."""
    if delivery["attempts"]:
        yield Cell(f"{delivery['deploys']} of {delivery['attempts']} releases went live", "dim")
    if delivery["lead_time"] is not None:
        yield Cell(f"commit to live {lasted(delivery['lead_time'])}", "dim")
    if delivery["failure_share"] is not None:
        yield Cell(f"{delivery['failure_share']:.0%} failed", "dim")
    if delivery["time_to_restore"] is not None:
        yield Cell(f"restored in {lasted(delivery['time_to_restore'])}", "dim")
