"""`reconciler status`: what is true now, at a glance or for one service in full."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Annotated, Any

import typer

from reconciler.cli.server import DATA, DataOption, JsonOption, Server, find, segment
from reconciler.cli.terminal import Cell, ago, is_coloured, paint, safe, say, say_table, short

Service = dict[str, Any]
Condition = dict[str, Any]

WORST_FIRST = ("Stalled", "Ready=False", "RolledBack", "Syncing", "Suspended", "Asleep", "Ready=Unknown", "Ready")
MARKS = {
    "Stalled": ("✗", "red"),
    "Ready=False": ("✗", "red"),
    "RolledBack": ("!", "yellow"),
    "Syncing": ("…", "blue"),
    "Ready=Unknown": ("…", "blue"),
    "Suspended": ("-", "dim"),
    "Asleep": ("z", "dim"),
    "Ready": ("✓", "green"),
}
LAST_EVENTS = 5


def add_to(app: typer.Typer) -> None:
    app.command()(status)


def status(
    name: Annotated[str | None, typer.Argument(help="One service, in full.")] = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Say what is true now. Exit code 1 when something is not good."""
    server = find(data)
    good = _show_one(server, name, as_json) if name else _show_all(server, as_json)
    raise typer.Exit(0 if good else 1)


def _show_all(server: Server, as_json: bool) -> bool:
    platform = server.get("/v1/status")
    services = list(server.items("/v1/services"))
    if as_json:
        say(json.dumps({"platform": platform, "services": services}, indent=2))
    else:
        _say_platform(platform)
        say_table([_row(service) for service in services])
    return source_is_good(platform) and not in_trouble(platform) and all(is_good(service) for service in services)


def _show_one(server: Server, name: str, as_json: bool) -> bool:
    service = server.get(f"/v1/services/{segment(name)}")
    if as_json:
        say(json.dumps(service, indent=2))
    else:
        _say_service(service)
    return is_good(service)


def is_good(service: Service) -> bool:
    """Suspended is somebody's wish; a service that failed is not good even while its last release serves."""
    keys = {key(condition) for condition in service["conditions"]}
    return "Stalled" not in keys and ("Ready=False" not in keys or "Suspended" in keys)


def source_is_good(platform: dict[str, Any]) -> bool:
    return bool(platform["source"]["condition"]["status"] != "False")


def in_trouble(platform: dict[str, Any]) -> list[dict[str, Any]]:
    """Databases and projects that do not get what they should."""
    return [destination for destination in platform["destinations"] if destination["trouble"]]


def key(condition: Condition) -> str:
    kind, value = condition["type"], condition["status"]
    return f"{kind}={value}" if value != "True" else str(kind)


def worst(conditions: Iterable[Condition]) -> Condition | None:
    known = [condition for condition in conditions if key(condition) in WORST_FIRST]
    return min(known, key=lambda condition: WORST_FIRST.index(key(condition)), default=None)


def _row(service: Service) -> Sequence[Cell]:
    condition = worst(service["conditions"])
    mark, colour = MARKS[key(condition)] if condition else ("?", "yellow")
    words = " ".join(key(each) for each in service["conditions"]) or "Unknown"
    live = service["live"] or {}
    message = condition["message"] if condition and key(condition) != "Ready" else ""
    return (
        Cell(mark, colour),
        Cell(safe(service["name"]), "bold"),
        Cell(safe(words), colour),
        Cell(safe(condition["reason"]) if condition else "-"),
        Cell(safe(live.get("id") or "-")),
        Cell(short(service["revision_changed"]), "dim"),
        Cell(safe(message)),
    )


def _say_platform(platform: dict[str, Any]) -> None:
    source, condition = platform["source"], platform["source"]["condition"]
    say(f"{paint(short(platform['revision_applied']), 'bold')}  {safe(source['url'])}  {_summary(platform)}")
    if platform["revision_attempted"] != platform["revision_applied"]:
        say(paint(f"… {short(platform['revision_attempted'])} is not applied yet", "blue"))
    if condition["status"] == "False":
        say(paint(f"✗ {safe(condition['reason'])}: {safe(condition['message'])}", "red"))
    for destination in in_trouble(platform):
        told = f"{safe(destination['name'])}: {safe(destination['trouble'])} {destination['waiting']} changes wait here"
        say(paint(f"! {told} ({ago(destination['since'])})", "yellow"))
    last = platform["last_sync"]
    if last:
        when = last["finished_at"] or last["started_at"] or last["requested_at"]
        say(paint(f"last sync {safe(last['state'])} {ago(when)} ({safe(last['trigger'])})", "dim"))
    say()


def _summary(platform: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {safe(name)}" for name, count in sorted(platform["counts"].items()) if count)
    return f"{platform['services']} services" + (f" ({counts})" if counts else "")


def _say_service(service: Service) -> None:
    condition = worst(service["conditions"])
    mark, colour = MARKS[key(condition)] if condition else ("?", "yellow")
    say(f"{paint(mark, colour)} {paint(safe(service['name']), 'bold')}  {safe(service['description'] or '')}".rstrip())
    say_table([(Cell(name, "dim"), Cell(value)) for name, value in _facts(service)], indent="  ")
    say()
    say_table([_condition_row(each) for each in service["conditions"]], indent="  ")
    _say_problems(service)
    if service["detail"]:
        say()
        for line in service["detail"].splitlines():
            say("  " + paint(safe(line), "dim"))
    _say_events(service["events"][-LAST_EVENTS:])


def _facts(service: Service) -> list[tuple[str, str]]:
    live, candidate, environment = service["live"], service["candidate"], service["environment"]
    facts = [
        ("answers at", safe(service["path"])),
        ("release", f"{safe(live['id'])}, {ago(live['live_at'] or live['created_at'])}" if live else "none"),
        ("changed by", short(service["revision_changed"])),
        ("attempted", short(service["revision_attempted"])),
        ("applied", short(service["revision_applied"])),
    ]
    if candidate:
        facts.insert(2, ("candidate", f"{safe(candidate['id'])}, {safe(candidate['phase'])}"))
    if environment:
        facts.append(("environment", f"{safe(environment['id'][:12])}, {len(environment['packages'])} packages"))
    facts += [
        ("worker", f"{safe(worker['id'])}, {safe(worker['state'])}, pid {worker['pid'] or '-'}")
        for worker in service["workers"]
    ]
    facts += [("process", _process(process)) for process in service["processes"]]
    facts += [("job", _job(job)) for job in service["cron"]]
    return facts


def _process(process: dict[str, Any]) -> str:
    told = f"{safe(process['name'])}, {safe(process['state'])}, pid {process['pid'] or '-'}"
    ended = f", {safe(process['last_exit'])}" if process["last_exit"] and process["state"] == "backoff" else ""
    return told + (f", restarted {process['restarts']} times" if process["restarts"] else "") + ended


def _job(job: dict[str, Any]) -> str:
    last = "running" if job["running"] else job["last"]["state"] if job["last"] else "never ran"
    return f"{safe(job['name'])}, {safe(job['schedule'])} {safe(job['timezone'])}, {last}"


def _condition_row(condition: Condition) -> Sequence[Cell]:
    mark, colour = MARKS.get(key(condition), ("?", "yellow"))
    place = f" ({condition['file']}:{condition['line']})" if condition["file"] and condition["line"] else ""
    return (
        Cell(mark, colour),
        Cell(safe(key(condition)), colour),
        Cell(safe(condition["reason"])),
        Cell(ago(condition["since"]), "dim"),
        Cell(safe(condition["message"] + place)),
    )


def _say_problems(service: Service) -> None:
    if not service["problems"]:
        return
    from reconciler.model.problem import Problem
    from reconciler.model.problem_text import Paint, problem_text

    known = {field.name for field in fields(Problem)}
    for told in service["problems"]:
        problem = Problem(**{name: value for name, value in told.items() if name in known})
        say()
        say(problem_text(problem, paint=Paint(is_coloured(sys.stdout))).rstrip())


def _say_events(events: Sequence[dict[str, Any]]) -> None:
    if events:
        say()
        say_table([(Cell(ago(event["at"]), "dim"), Cell(safe(event["message"]))) for event in events], indent="  ")
