"""All services at a glance: what runs, at which commit, what is broken, since when and why."""

from collections.abc import Iterator, Sequence
from typing import Any

from reconciler.cli.moments import ago
from reconciler.cli.standing import Service, in_trouble, is_good, key, mark, worst
from reconciler.cli.table import Cell, flowed, table
from reconciler.cli.terminal import Screen, safe, short

SPARE = (5, 6, 4, 3, 2)
"""Release, revision, since, reason, conditions: what a narrow screen does without first."""


def glance(platform: dict[str, Any], services: Sequence[Service], screen: Screen) -> list[str]:
    return [
        *(line for parts in _platform(platform) for line in flowed(parts, screen)),
        "",
        *table([_row(service) for service in services], screen, spare=SPARE),
        *(line for parts in advice(_bad(services)) for line in ("", *flowed(parts, screen))),
    ]


def _platform(platform: dict[str, Any]) -> Iterator[Sequence[Cell]]:
    source, condition = platform["source"], platform["source"]["condition"]
    yield (
        Cell(short(platform["revision_applied"]), "bold"),
        Cell(safe(source["url"])),
        Cell("1 service" if platform["services"] == 1 else f"{platform['services']} services"),
        *(Cell(f"{count} {safe(name)}", "dim") for name, count in sorted(platform["counts"].items()) if count),
    )
    if platform["revision_attempted"] != platform["revision_applied"]:
        yield (Cell(f"… {short(platform['revision_attempted'])} is not applied yet", "blue"),)
    if condition["status"] == "False":
        yield (Cell(f"✗ {safe(condition['reason'])}: {safe(condition['message'])}", "red"),)
    for destination in in_trouble(platform):
        told = f"{safe(destination['name'])}: {safe(destination['trouble'])} {destination['waiting']} changes wait here"
        yield (Cell(f"! {told} ({ago(destination['since'])})", "yellow"),)
    if platform["last_sync"]:
        yield tuple(_last(platform["last_sync"]))


def _last(sync: dict[str, Any]) -> Iterator[Cell]:
    when = sync["finished_at"] or sync["started_at"] or sync["requested_at"]
    yield Cell(f"last sync {safe(sync['state'])} {ago(when)} ({safe(sync['trigger'])})", "dim")
    if sync["commit"]:
        yield Cell(f"{safe(sync['commit']['author'])}: {safe(sync['commit']['subject'])}", "dim")


def _row(service: Service) -> Sequence[Cell]:
    condition = worst(service["conditions"])
    sign, colour = mark(condition)
    words = " ".join(key(each) for each in service["conditions"]) or "Unknown"
    live = service["live"] or {}
    message = condition["message"] if condition and key(condition) != "Ready" else ""
    return (
        Cell(sign, colour),
        Cell(safe(service["name"]), "bold"),
        Cell(safe(words), colour),
        Cell(safe(condition["reason"]) if condition else "-"),
        Cell(ago(condition["since"]) if condition else "", "dim"),
        Cell(safe(live.get("id") or "-")),
        Cell(short(service["revision_changed"]), "dim"),
        Cell(safe(message)),
    )


def _bad(services: Sequence[Service]) -> list[str]:
    return [service["name"] for service in services if not is_good(service)]


def advice(bad: Sequence[str]) -> Iterator[Sequence[Cell]]:
    """What to do about services that are not good."""
    if bad:
        count = "1 service is" if len(bad) == 1 else f"{len(bad)} services are"
        yield Cell(f"{count} not good:"), Cell(f"reconciler status {safe(bad[0])}", "bold"), Cell("says more")
