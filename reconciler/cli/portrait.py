"""One service in full: what is live, what is wrong with it and where, what happened last."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from reconciler.cli.moments import ago, until
from reconciler.cli.standing import Condition, Service, key, mark, worst
from reconciler.cli.table import Cell, flowed, folded, table
from reconciler.cli.terminal import Screen, safe, short

LAST_EVENTS = 5
INDENT = "  "


def portrait(service: Service, screen: Screen) -> list[str]:
    sign, colour = mark(worst(service["conditions"]))
    title = (Cell(f"{sign} {safe(service['name'])}", colour), Cell(safe(service["description"] or "")))
    facts = [(Cell(name, "dim"), Cell(value)) for name, value in _facts(service)]
    conditions = [_condition_row(each) for each in service["conditions"]]
    return [
        *flowed(title if service["description"] else title[:1], screen),
        *table(facts, screen, INDENT),
        "",
        *table(conditions, screen, INDENT, spare=(3, 2)),
        *folded(_problems(service, screen), screen),
        *folded(_detail(service, screen), screen),
        *_events(service["events"][-LAST_EVENTS:], screen),
    ]


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
        facts.append(("environment", f"{safe(environment['id'][:12])}, packages: {len(environment['packages'])}"))
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
    times = f"{safe(job['schedule'])} {safe(job['timezone'])}"
    return f"{safe(job['name'])}, {times}, next {until(job['next'])}, {last}"


def _condition_row(condition: Condition) -> Sequence[Cell]:
    sign, colour = mark(condition)
    place = f" ({condition['file']}:{condition['line']})" if condition["file"] and condition["line"] else ""
    return (
        Cell(sign, colour),
        Cell(safe(key(condition)), colour),
        Cell(safe(condition["reason"])),
        Cell(ago(condition["since"]), "dim"),
        Cell(safe(condition["message"] + place)),
    )


def _problems(service: Service, screen: Screen) -> Iterator[str]:
    if not service["problems"]:
        return
    from reconciler.model.problem import Problem
    from reconciler.model.problem_text import Paint, problem_text

    known = {field.name for field in fields(Problem)}
    for told in service["problems"]:
        problem = Problem(**{name: value for name, value in told.items() if name in known})
        yield ""
        yield from problem_text(problem, paint=Paint(screen.coloured)).rstrip().splitlines()


def _detail(service: Service, screen: Screen) -> Iterator[str]:
    if service["detail"]:
        yield ""
        yield from (INDENT + screen.paint(safe(line), "dim") for line in service["detail"].splitlines())


def _events(events: Sequence[dict[str, Any]], screen: Screen) -> Iterator[str]:
    if events:
        yield ""
        rows = [(Cell(ago(event["at"]), "dim"), Cell(safe(event["message"]))) for event in events]
        yield from table(rows, screen, INDENT)
