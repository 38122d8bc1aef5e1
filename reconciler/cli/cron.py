"""`reconciler cron list|run`: the jobs of a running server, and one of them by hand."""

import json
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from reconciler.cli.moments import ago, until
from reconciler.cli.server import DATA, DataOption, JsonOption, Server, find, segment
from reconciler.cli.table import Cell, say_table
from reconciler.cli.terminal import paint, safe, say

Job = dict[str, Any]
Run = dict[str, Any]

LOOKED_EVERY = 0.1
ON_TIME = 0.05
"""Seconds that nobody wants to hear of."""
UNDER_WAY = ("queued", "intended", "running")
MARKS = {
    "done": ("✓", "green"),
    "skipped": ("-", "dim"),
    "interrupted": ("!", "yellow"),
    "unknown": ("?", "yellow"),
}
BAD = ("✗", "red")
GOING = ("…", "blue")


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="The jobs that run at their times.", no_args_is_help=True)
    group.command("list")(list_jobs)
    group.command("run")(run)
    app.add_typer(group, name="cron")


def list_jobs(
    name: Annotated[str | None, typer.Argument(help="The jobs of one service.", show_default="all services")] = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Say when each job is due next, how its last runs ended, and how late the last one began."""
    server = find(data)
    services = [server.get(f"/v1/services/{segment(name)}")] if name else server.items("/v1/services")
    jobs = [{"service": service["name"], **job} for service in services for job in service["cron"]]
    if as_json:
        say(json.dumps(jobs, indent=2))
    elif jobs:
        say_table([_row(job) for job in jobs])
    else:
        say("no jobs")


def run(
    service: Annotated[str, typer.Argument(help="The service.")],
    job: Annotated[str, typer.Argument(help="The job.")],
    data: DataOption = DATA,
    wait: Annotated[bool, typer.Option(help="Wait for its end.")] = True,
) -> None:
    """Run a job once, now. Exit code 1 when it does not end well."""
    server = find(data)
    told = server.post(f"/v1/services/{segment(service)}/cron/{segment(job)}/run")
    if not wait:
        say(f"{paint(*GOING)} {safe(told['id'])} {safe(told['state'])}")
        return
    told = _end_of(server, service, told)
    mark, colour = MARKS.get(told["state"], BAD)
    say(f"{paint(mark, colour)} {safe(told['id'])} {safe(told['state'])}: {safe(told['message'] or '')}{_took(told)}")
    for line in (told["detail"] or "").splitlines():
        say("  " + paint(safe(line), "dim"))
    raise typer.Exit(0 if told["state"] == "done" else 1)


def _end_of(server: Server, service: str, told: Run) -> Run:
    while told["state"] in UNDER_WAY:
        time.sleep(LOOKED_EVERY)
        told = server.get(f"/v1/services/{segment(service)}/runs/{segment(told['id'])}")
    return told


def _row(job: Job) -> tuple[Cell, ...]:
    last, running = job["last"], job["running"]
    mark, colour = GOING if running else MARKS.get(last["state"], BAD) if last else ("", "dim")
    return (
        Cell(mark, colour),
        Cell(safe(job["service"]), "bold"),
        Cell(safe(job["name"]), "bold"),
        Cell(safe(f"{job['schedule']} {job['timezone']}")),
        Cell(f"next {until(job['next'])}"),
        Cell(_outcomes(job), "dim"),
        Cell(_how_late(running or last), "dim"),
        Cell(f"{job['missed']} missed" if job["missed"] else "", "yellow"),
        Cell(safe(_last_words(job))),
    )


def _outcomes(job: Job) -> str:
    """The last few, the newest last: one sign each."""
    signs = "".join(MARKS.get(state, BAD)[0] for state in job["outcomes"])
    return signs or ("" if job["running"] else "never ran")


def _how_late(run: Run | None) -> str:
    if run is None or run["late"] is None or run["cause"] == "person":
        return ""
    return f"{run['late']:.1f} s late" if run["late"] >= ON_TIME else "on time"


def _last_words(job: Job) -> str:
    """What it does now, or what became of it last."""
    last, running = job["last"], job["running"]
    if running:
        began = running["started_at"]
        told = f"running since {ago(began)}" if began else "about to run"
        return told + (f", {job['waiting']} waiting" if job["waiting"] else "")
    if not last:
        return ""
    by_hand = " by hand" if last["cause"] == "person" else ""
    told = f"{last['state']}{by_hand} {ago(last['finished_at'] or last['scheduled_at'])}"
    return told if last["state"] == "done" else f"{told}: {last['message']}"


def _took(run: Run) -> str:
    if not run["started_at"] or not run["finished_at"]:
        return ""
    taken = datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(run["started_at"])
    return f" ({taken.total_seconds():.1f} s)"
