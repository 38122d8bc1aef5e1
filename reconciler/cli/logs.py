"""`reconciler logs`: what a service said, or the platform itself.

A terminal gets times of its own zone, a sign for what is serious, and columns that leave room for the message; a pipe
gets whole moments and words, one line after the other, for grep.
"""

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from reconciler.cli.following import followed
from reconciler.cli.server import DATA, DataOption, JsonOption, find, segment
from reconciler.cli.terminal import Screen, complain, safe, say

Record = dict[str, Any]

COLOURS = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow", "DEBUG": "dim"}
SIGNS = {"ERROR": "✗", "CRITICAL": "✗", "WARNING": "!", "DEBUG": "·"}
ROOMY = 60
"""Columns from which on it is also said who speaks, and to the millisecond."""


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


def add_to(app: typer.Typer) -> None:
    app.command()(logs)


def logs(
    name: Annotated[str | None, typer.Argument(help="The service.", show_default="the platform itself")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes; Ctrl-C ends it.")] = False,
    request: Annotated[str | None, typer.Option(help="Only what belongs to this request id.")] = None,
    release: Annotated[str | None, typer.Option(help="Only what this release said.")] = None,
    level: Annotated[
        Level | None, typer.Option(case_sensitive=False, help="Only this level, and what is worse.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only what is newer: 10m, 2h, or an ISO 8601 moment.")] = None,
    until: Annotated[str | None, typer.Option(help="Only what is older, written likewise. Not with -f.")] = None,
    platform: Annotated[
        bool, typer.Option("--platform", help="What the platform said, with NAME about this service.")
    ] = False,
    sync: Annotated[str | None, typer.Option(help="Only what belongs to this sync; of the platform.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many of the newest records.")] = 100,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Print what a service said, the newest last. Without NAME: what the platform itself said."""
    wanted = {"request": request, "release": release, "level": level, "since": since, "until": until, "limit": limit}
    if name is None or platform or sync is not None:
        path, wanted = "/v1/logs", {**wanted, "service": name, "sync": sync}
    else:
        path = f"/v1/services/{segment(name)}/logs"
    records = followed(data, path, **wanted) if follow else find(data).lines(path, **wanted)
    teller, said = Teller(Screen.of(sys.stdout)), False
    try:
        for record in records:
            said = True
            for line in [json.dumps(record)] if as_json else teller.lines(record):
                say(line)
            sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit from None
    if not said and sys.stderr.isatty():
        complain(f"{name or 'the platform'} has said nothing, or nothing that was asked for")


class Teller:
    """Records as lines. A traceback is one record and several of them."""

    def __init__(self, screen: Screen, today: datetime | None = None) -> None:
        self._screen = screen
        self._day = (today or datetime.now().astimezone()).date()
        self._widest = 0

    def lines(self, record: Record) -> Iterator[str]:
        text = [safe(line) for line in str(record.get("message", "")).splitlines()] or [""]
        level = str(record.get("level", ""))
        who = safe(str(record.get("release") or record.get("service") or record.get("process") or ""))
        request = safe(f"[{record['request']}]") if record.get("request") else ""
        if self._screen.columns is None:
            head = "  ".join(filter(None, (safe(str(record.get("time", ""))), f"{safe(level):<8}", who, request)))
            yield from (f"{head}  {line}" for line in text)
        else:
            yield from self._shown(record, level, who, request, text)

    def _shown(self, record: Record, level: str, who: str, request: str, text: list[str]) -> Iterator[str]:
        paint, at = self._screen.paint, _local(record.get("time"))
        if at is not None and at.date() != self._day:
            self._day = at.date()
            yield paint(f"── {self._day.isoformat()} ──", "dim")
        clock, indent = at.strftime("%H:%M:%S") if at else "?" * 8, "  "
        if self._screen.columns is not None and self._screen.columns >= ROOMY:
            self._widest = max(self._widest, len(who))
            clock = f"{clock}.{at.microsecond // 1000:03}" if at else clock
            who = f"{who:<{self._widest}}  "
            indent = " " * (len(clock) + len(who) + 5)
        else:
            who = ""
        head = f"{paint(clock, 'dim')}  {paint(SIGNS.get(level, ' '), COLOURS.get(level, ''))}  {paint(who, 'dim')}"
        first, *more = (paint(line, COLOURS.get(level, "")) for line in text)
        yield f"{head}{first}" + (f"  {paint(request, 'dim')}" if request else "")
        yield from (f"{indent}{line}" for line in more)


def _local(moment: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(moment)).astimezone()
    except (ValueError, OverflowError):
        return None
