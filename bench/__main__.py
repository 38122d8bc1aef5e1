"""`python -m bench [name ...]`: measure all, or only what is named; print a table and keep it as JSON."""

import importlib
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figure import Figure

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "latest.json"
NO_MEASURES = {"__init__", "__main__", "figure", "load", "stage"}
ORDER = ("traffic", "release", "push", "memory", "scale", "zero_loss")


def measures() -> list[str]:
    found = {path.stem for path in HERE.glob("*.py")} - NO_MEASURES
    return [name for name in ORDER if name in found] + sorted(found - set(ORDER))


def measure(names: list[str], console: Console) -> list[Figure]:
    figures: list[Figure] = []
    for name in names:
        begun = time.monotonic()
        console.print(f"[dim]{name} …[/dim]")
        figures += importlib.import_module(f"bench.{name}").run()
        console.print(f"[dim]{name} took {time.monotonic() - begun:.0f} s[/dim]")
    return figures


def table(figures: list[Figure]) -> Table:
    drawn = Table("figure", "value", "goal", "ok", title="reconciler in figures")
    drawn.columns[1].justify = "right"
    for figure in figures:
        verdict = "" if not figure["goal"] else "yes" if figure["ok"] else "[bold red]no[/]"
        drawn.add_row(figure["name"], f"{figure['value']:g} {figure['unit']}".strip(), figure["goal"], verdict)
    return drawn


def keep(figures: list[Figure]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    record = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, "figures": figures}
    RESULTS.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def main(names: list[str]) -> int:
    unknown = set(names) - set(measures())
    if unknown:
        print(f"There is no {', '.join(sorted(unknown))}; there are: {', '.join(measures())}")
        return 2
    console = Console(highlight=False)
    figures = measure(names or measures(), console)
    console.print(table(figures))
    keep(figures)
    return 0 if all(figure["ok"] for figure in figures) else 1


sys.exit(main(sys.argv[1:]))
