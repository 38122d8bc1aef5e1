"""What a forge is told about a commit: one statement per service, and one about all of them.

Pure, and level-based: from how things stand follows what should be said, and saying it again changes nothing. Text is
plain and short enough for every forge.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

LONGEST: Final = 140
"""What GitHub takes as a description."""
AGGREGATE: Final = "reconciler/sync"
MARKER: Final = "<!-- reconciler -->"
"""By which the one comment of a pull request is found again."""
MOST_ROWS: Final = 100
LONGEST_TABLE: Final = 60_000
"""GitHub takes 65,536 characters as a comment."""


class State(StrEnum):
    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    """Nothing was concluded about this commit: a newer one took its place."""


@dataclass(frozen=True, slots=True)
class Annotation:
    file: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Statement:
    sha: str
    context: str
    state: State
    description: str
    annotations: tuple[Annotation, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What a newer statement takes the place of."""
        return self.sha, self.context

    @property
    def service(self) -> str | None:
        """The one that it is about; None where it is about all of them."""
        return None if self.context == AGGREGATE else self.context.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Deployed:
    """A service answers from this commit now."""

    sha: str
    service: str
    path: str | None

    @property
    def key(self) -> tuple[str, str]:
        """The commit is no part of it: a service answers from one at a time, and the last is the one to be told."""
        return "", self.service


@dataclass(frozen=True, slots=True)
class Summary:
    """What one sync did, for the pull request that the commit came from."""

    sha: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        return self.sha, ""


Word = Statement | Deployed | Summary
_DOES: Final = {"start": "starting", "replace": "releasing", "remove": "removing"}
_DONE: Final = {"start": "live", "replace": "live", "remove": "removed", "keep": "unchanged", "hold": "held"}


def context(service: str) -> str:
    own = f"reconciler/{service}"
    # A service may have the name that stands for all of them.
    return own if own != AGGREGATE else f"reconciler/services/{service}"


def planned(sha: str, actions: Iterable[Mapping[str, Any]]) -> tuple[Word, ...]:
    """Before anything is done."""
    begun = [one for one in actions if one["verb"] in _DOES]
    each = [
        Statement(sha, context(one["service"]), State.PENDING, _short(f"{_DOES[one['verb']]}: {one['why']}"))
        for one in begun
    ]
    count = f"{len(begun)} service{'s' * (len(begun) != 1)} to release"
    return (*each, Statement(sha, AGGREGATE, State.PENDING, count))


def concluded(sha: str, action: Mapping[str, Any], problems: Sequence[Mapping[str, Any]] = ()) -> tuple[Word, ...]:
    """What became of one action. A hold that somebody meant says nothing."""
    service, verb, outcome, path = action["service"], action["verb"], action["outcome"], action.get("path")
    told = ": ".join(part for part in (action.get("reason"), action.get("message")) if part)
    if outcome == "failed" or (verb == "hold" and action.get("reason")):
        notes = tuple(_annotations(problems))
        return (Statement(sha, context(service), State.FAILURE, _short(told or "failed"), notes),)
    if outcome == "superseded":
        return (Statement(sha, context(service), State.ERROR, "superseded by a newer commit"),)
    if outcome != "done" or verb not in _DOES:
        return ()
    success = Statement(sha, context(service), State.SUCCESS, _short(_DONE[verb] + (f" at {path}" if path else "")))
    return (success, Deployed(sha, service, path)) if verb != "remove" else (success,)


def finished(sha: str, state: str, message: str | None, actions: Sequence[Mapping[str, Any]]) -> tuple[Word, ...]:
    """What became of a sync as a whole."""
    failed = sorted(one["service"] for one in actions if one["outcome"] == "failed" or _is_trouble(one))
    if state == "superseded":
        return (Statement(sha, AGGREGATE, State.ERROR, "superseded by a newer commit"),)
    if state == "failed" or failed:
        why = message or f"failed: {', '.join(failed)}"
        total = Statement(sha, AGGREGATE, State.FAILURE, _short(why))
    else:
        done = sum(one["outcome"] == "done" and one["verb"] in _DOES for one in actions)
        total = Statement(sha, AGGREGATE, State.SUCCESS, f"{done} released" if done else "nothing to release")
    return (total, Summary(sha, as_markdown(actions))) if any(one["verb"] in _DOES for one in actions) else (total,)


def rolled_back(bad: str, good: str, service: str, message: str, path: str | None) -> tuple[Word, ...]:
    """The new commit has failed after all, and the old one serves again."""
    return (
        Statement(bad, context(service), State.FAILURE, _short(f"rolled back: {message}")),
        Statement(bad, AGGREGATE, State.FAILURE, _short(f"{service} was rolled back")),
        Statement(good, context(service), State.SUCCESS, "live again"),
        Deployed(good, service, path),
    )


def as_markdown(actions: Sequence[Mapping[str, Any]]) -> str:
    """A table of what was done, under the marker by which it is found again."""
    shown = [one for one in actions if one["verb"] in _DOES or _is_trouble(one)]
    rows: list[str] = []
    for one in shown[:MOST_ROWS]:
        row = f"| {_cell(one['service'])} | {one['verb']} | {one['outcome']} | {_cell(_why(one))} |"
        if sum(map(len, rows)) + len(row) > LONGEST_TABLE:
            break
        rows.append(row)
    more = [f"\n{len(shown) - len(rows)} more." if len(shown) > len(rows) else ""]
    return "\n".join([MARKER, "| service | action | outcome | |", "|---|---|---|---|", *rows, *more]).strip() + "\n"


def _is_trouble(action: Mapping[str, Any]) -> bool:
    return action["verb"] == "hold" and bool(action.get("reason"))


def _why(action: Mapping[str, Any]) -> str:
    return ": ".join(part for part in (action.get("reason"), action.get("message") or action.get("why")) if part)


def _annotations(problems: Sequence[Mapping[str, Any]]) -> Iterable[Annotation]:
    for problem in problems:
        if problem.get("file"):
            remedy = f"\n{problem['remedy']}" if problem.get("remedy") else ""
            yield Annotation(problem["file"], problem.get("line") or 1, f"{problem['message']}{remedy}"[:4_000])


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 1] + "…"


def _cell(text: str) -> str:
    """Names and messages are text, whatever a forge would make of them."""
    plain = " ".join(text.split())[:300]
    return "".join(f"\\{char}" if char in r"\`*_{}[]<>()#+-!|~@" else char for char in plain)
