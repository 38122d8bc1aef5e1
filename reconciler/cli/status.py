"""`reconciler status`: what is true now, at a glance or for one service in full, once or as it changes."""

import json
import sys
from dataclasses import replace
from typing import Annotated

import typer

from reconciler.cli.seen import look
from reconciler.cli.server import DATA, DataOption, JsonOption, find
from reconciler.cli.terminal import Screen, say

PATIENCE = 5.0
"""Seconds for an answer, while somebody watches."""


def add_to(app: typer.Typer) -> None:
    app.command()(status)


def status(
    name: Annotated[str | None, typer.Argument(help="One service, in full.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on with what changes; Ctrl-C ends it.")] = False,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Say what is true now. Exit code 1 when something is not good."""
    if watch:
        from reconciler.cli.watch import watch as watched

        raise typer.Exit(
            watched(lambda: look(replace(find(data), patience=PATIENCE), name), data, name, as_json=as_json)
        )
    seen = look(find(data), name)
    if as_json:
        say(json.dumps(seen.told, indent=2))
    else:
        for line in seen.lines(Screen.of(sys.stdout)):
            say(line)
    raise typer.Exit(0 if seen.is_good else 1)
