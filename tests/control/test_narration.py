"""What a pusher reads, notice by notice."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.control import narration
from reconciler.control.feed import Listener
from reconciler.control.narration import Story, Until, narrate
from reconciler.model.names import ServiceName, SyncId
from reconciler.model.notice import Kind, Notice

SYNC = SyncId("7")
REVISION = "main@sha1:" + "0123456789" * 4


def notice(kind: Kind, message: str = "", service: str | None = None, sync: str | None = "7", **data: Any) -> Notice:
    name = ServiceName(service) if service else None
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return Notice(
        kind=kind,
        at=at,
        message=message,
        service=name,
        sync=SyncId(sync) if sync else None,
        revision=REVISION,
        data=data,
    )


def planned(*verbs: tuple[str, str]) -> Notice:
    actions = [{"verb": verb, "service": service, "why": "code changed"} for verb, service in verbs]
    return notice(Kind.SYNC_PLANNED, actions=actions, kept=3)


def finished(service: str, outcome: str = "done", verb: str = "replace", **more: Any) -> Notice:
    said = {"verb": verb, "outcome": outcome, "reason": None, "message": None, "path": f"/api/{service}/", **more}
    return replace(notice(Kind.ACTION_FINISHED, service=service), data=said)


def ended(state: str, message: str = "") -> Notice:
    return notice(Kind.SYNC_FINISHED, message or state, state=state, seconds=1.25)


def told(*notices: Notice, until: Until = "live") -> list[str]:
    story = Story(SYNC, "http://here:8000/", until)
    return [line for one in notices if not story.ended for line in story.hear(one)]


def test_each_service_is_told_where_it_lives_or_why_it_does_not() -> None:
    problem = {"message": "no such module", "code": "import-failed", "file": "services/b/router.py", "line": 3}
    lines = told(
        planned(("start", "a"), ("replace", "b"), ("remove", "c"), ("hold", "d")),
        notice(Kind.PHASE_BEGAN, "starting", "a", sync="6"),
        finished("a", verb="start"),
        notice(Kind.RELEASE_FAILED, "ImportFailed: no such module", "b", problems=[problem]),
        finished("b", "failed", reason="ImportFailed", message="no such module"),
        finished("c", verb="remove", path=None),
        ended("failed"),
    )
    assert lines == [
        "-----> Plan for main@01234567: 4 to do, 3 to keep",
        "       start   a  code changed",
        "       replace b  code changed",
        "       remove  c  code changed",
        "       hold    d  code changed",
        "-----> a: starting",
        "-----> a is live at http://here:8000/api/a/",
        " !     b: ImportFailed: no such module",
        "       error[import-failed]: no such module",
        "         --> services/b/router.py:3",
        "-----> c is gone",
        " !     Not everything is live. The branch has moved; what served goes on serving.",
    ]


def test_it_is_done_when_everything_is_live_and_not_later() -> None:
    begun = notice(Kind.SYNC_STARTED)
    last = replace(finished("b", verb="start"), at=begun.at + timedelta(milliseconds=1250))
    both = (begun, planned(("start", "a"), ("start", "b")), finished("a", verb="start"), last)
    assert told(*both)[-2:] == ["-----> b is live at http://here:8000/api/b/", "-----> Done in 1.25 s"]
    held = (begun, planned(("start", "b"), ("hold", "d")), last)
    assert told(*held)[-1] == "-----> b is live at http://here:8000/api/b/", "what is held back may be a mistake"
    failed = (begun, planned(("start", "a"), ("start", "b")), finished("a", "superseded"), last)
    assert told(*failed)[-1] == "-----> b is live at http://here:8000/api/b/"
    assert told(begun, planned()) == ["-----> Plan for main@01234567: 0 to do, 3 to keep"]


def test_what_others_do_meanwhile_is_none_of_the_pushers_business() -> None:
    lines = told(
        notice(Kind.SYNC_PLANNED, sync="6", actions=[], kept=0),
        notice(Kind.PHASE_BEGAN, "starting", "stranger"),
        planned(("start", "a")),
        notice(Kind.PHASE_BEGAN, "starting", "stranger"),
        notice(Kind.SYNC_FINISHED, "done", sync="6", state="done", seconds=0.0),
        notice(Kind.WORKERS_RESTARTED, "somebody", "a", sync=None),
    )
    assert lines == ["-----> Plan for main@01234567: 1 to do, 3 to keep", "       start   a  code changed"]


def test_a_newer_commit_a_roll_back_and_a_source_that_fails_are_said() -> None:
    start = planned(("replace", "a"))
    assert told(start, finished("a", "superseded"), ended("superseded"))[2:] == [
        "       a: left to a newer commit",
        "-----> A newer commit takes its place",
    ]
    assert told(start, notice(Kind.ROLLED_BACK, "a-2 was worse", "a"))[2:] == [" !     a: a-2 was worse"]
    assert told(start, finished("a", "failed", reason="StartFailed", message="no\nmore"))[2:] == [
        " !     a: StartFailed: no",
        "       more",
    ]
    assert told(ended("failed", "The disk is full."))[0] == " !     The disk is full."


def test_what_could_play_tricks_on_a_terminal_is_shown_as_text() -> None:
    lines = told(planned(("start", "a")), notice(Kind.PHASE_BEGAN, "\x1b[2Jgone\u202e", "a"))
    assert "\x1b" not in "".join(lines) and "\u202e" not in "".join(lines)


def test_a_large_plan_is_cut_and_waiting_for_the_plan_ends_with_it() -> None:
    many = planned(*(("start", f"s{number}") for number in range(60)))
    lines = told(many, finished("s1"), until="plan")
    assert (len(lines), lines[-1]) == (52, "       and 10 more")
    assert told(many, until="none") == []


def test_silence_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narration, "SILENCE", 0.02)

    async def scenario() -> None:
        listener = Listener()
        listener.tell(planned(("start", "a")))
        async with aclosing(narrate(listener, SYNC, "http://here", "live")) as lines:
            async for line in lines:
                if line == "       still working on a":
                    return
        raise AssertionError("it ended in silence")

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_waiting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narration, "LONGEST", 0.02)

    async def scenario() -> list[str]:
        listener = Listener()
        listener.tell(planned(("start", "a")))
        return [line async for line in narrate(listener, SYNC, "http://here", "live")]

    lines = asyncio.run(scenario())
    assert lines[-1] == "       it goes on without you; `reconciler status` tells how it ends"
