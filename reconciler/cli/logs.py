"""`reconciler logs`: what a service said."""

import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from reconciler.cli.server import DATA, DataOption, JsonOption, find, segment
from reconciler.cli.terminal import paint, safe, say

COLOURS = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow", "DEBUG": "dim"}


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


def add_to(app: typer.Typer) -> None:
    app.command()(logs)


def logs(
    name: Annotated[str, typer.Argument(help="The service.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes; Ctrl-C ends it.")] = False,
    request: Annotated[str | None, typer.Option(help="Only what belongs to this request id.")] = None,
    release: Annotated[str | None, typer.Option(help="Only what this release said.")] = None,
    level: Annotated[
        Level | None, typer.Option(case_sensitive=False, help="Only this level, and what is worse.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only what is newer: 10m, 2h, or an ISO 8601 moment.")] = None,
    until: Annotated[str | None, typer.Option(help="Only what is older, written likewise. Not with -f.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many of the newest records.")] = 100,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Print what a service said, the newest last."""
    records = find(data).lines(
        f"/v1/services/{segment(name)}/logs",
        endless=follow,
        follow=follow,
        request=request,
        release=release,
        level=level,
        since=since,
        until=until,
        limit=limit,
    )
    try:
        for record in records:
            for line in [json.dumps(record)] if as_json else _lines(record):
                say(line)
            sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit from None


def _lines(record: dict[str, Any]) -> Iterator[str]:
    """A traceback is one record and several lines."""
    level = str(record.get("level", ""))
    head = paint(safe(f"{record.get('time', '')}  {level:<8}  {record.get('release', '')}"), "dim")
    request = paint(safe(f"  [{record['request']}]"), "dim") if record.get("request") else ""
    colour = COLOURS.get(level, "")
    for line in str(record.get("message", "")).splitlines() or [""]:
        yield f"{head}{request}  {paint(safe(line), colour)}"
