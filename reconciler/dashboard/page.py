"""Pages made from templates and facts.

Whatever comes from a repository, a service or a commit is text: it is escaped, and what a terminal would obey is
taken out. Refuses a template that names something it was not given.
"""

import re
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from reconciler.dashboard.assets import ASSETS
from reconciler.dashboard.standing import Look, look_of
from reconciler.dashboard.timeline import timeline
from reconciler.dashboard.traffic import percent, rate, span, spark
from reconciler.model.names import sha_of

LONGEST = 300
"""What is worth reading of a commit's subject or a message in a table."""
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])?")
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SIZES = ((86400, "d"), (3600, "h"), (60, "min"))


def render(template: str, **facts: Any) -> str:
    return _environment.get_template(template).render(facts)


def plain(text: object) -> str:
    """Without escape sequences, control characters, and marks that turn text around."""
    told = str(text)
    return told if told.isprintable() else UNSEEN.sub("", ESCAPES.sub("", told))


def brief(text: object, most: int = LONGEST) -> str:
    # Cut before it is cleaned as well: a message may have a megabyte.
    line = " ".join(plain(str(text)[: 4 * most]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def ago(moment: datetime, now: datetime | None = None) -> str:
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for size, name in SIZES:
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return f"{int(seconds)} s ago" if seconds >= 1 else "just now"


def lasted(seconds: float) -> str:
    """`0.42 s`, `3.1 s`, `2 min 5 s`, `3 h 20 min`. Nothing ends before it began, whatever a clock says."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{int(seconds // 86400)} d {int(seconds % 86400 // 3600)} h"


def clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def sha(revision: str | None) -> str:
    return plain(sha_of(revision))[:7] if revision else "–"


def _made() -> Environment:
    made = Environment(
        loader=PackageLoader("reconciler.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Otherwise `{{ text }}` would show what nobody can see.
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    made.filters.update(
        brief=brief, ago=ago, lasted=lasted, clock=clock, sha=sha, timeline=timeline, look=look_of, plain=plain
    )
    made.filters.update(rate=rate, span=span, percent=percent, spark=spark)
    made.globals.update(asset=lambda name: ASSETS[name].address, Look=Look)
    return made


_environment = _made()
