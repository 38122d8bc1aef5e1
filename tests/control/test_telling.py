"""No commit stays pending on the forge: not where a service waits, nor where control died in the middle."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.control.boot import close_interrupted_syncs
from reconciler.control.commits import Commits
from reconciler.control.feed import Feed
from reconciler.control.history import History
from reconciler.control.telling import Telling
from reconciler.control.veil import Veil
from reconciler.model.names import ServiceName, SyncId
from reconciler.model.notice import Kind
from reconciler.model.statement import AGGREGATE, Deployed, Statement
from reconciler.store.journal import Journal
from tests.store.journals import START, at, in_journal
from tests.waiting import until

OLD, NEW = "a" * 40, "b" * 40
MIRROR: Any = SimpleNamespace()
"""Commits are asked for what the journal knows of them, which is nothing."""


class Forge:
    """How each commit stands, by the last that was said."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], str] = {}
        self.deployed: list[Deployed] = []

    def hear(self, words: Any) -> None:
        self.states |= {(one.sha, one.context): one.state.value for one in words if isinstance(one, Statement)}
        self.deployed += [one for one in words if isinstance(one, Deployed)]

    def of(self, sha: str) -> dict[str, str]:
        return {context: state for (told, context), state in self.states.items() if told == sha}


class Control:
    """What a control tells about its syncs."""

    def __init__(self, journal: Journal, feed: Feed) -> None:
        self._journal = journal
        self._feed = feed

    async def plans(self, sha: str, **verbs: str) -> SyncId:
        sync = await self._journal.begin_sync("push", START)
        await self._journal.record_revision(sync, revision := f"main@sha1:{sha}")
        actions = [{"service": name, "verb": verb, "why": "code changed"} for name, verb in verbs.items()]
        self._feed.happened(Kind.SYNC_PLANNED, "", sync=sync, revision=revision, data={"actions": actions})
        return sync

    def ends(self, sync: SyncId, service: str, verb: str) -> None:
        data = {"verb": verb, "outcome": "done", "path": f"/api/{service}/"}
        self._feed.passes(Kind.ACTION_FINISHED, "done", service=ServiceName(service), sync=sync, data=data)

    async def follows(self, sha: str, state: Any, message: str | None = None) -> None:
        """A sync that had nothing to do, or could not follow the commit at all."""
        sync = await self._journal.begin_sync("push", START)
        await self._journal.record_revision(sync, f"main@sha1:{sha}")
        await self._journal.finish_sync(sync, state, at(9), message=message)
        self._feed.happened(Kind.SYNC_FINISHED, message or state, sync=sync)

    def rolls_back(self, service: str, bad: str, good: str) -> None:
        data = {"from": {"revision": f"main@sha1:{bad}"}, "to": {"revision": f"main@sha1:{good}"}}
        self._feed.happened(Kind.ROLLED_BACK, "it answered 500", service=ServiceName(service), data=data)

    def switches(self, service: str) -> None:
        self._feed.happened(Kind.RELEASE_SWITCHED, "it serves", service=ServiceName(service))

    async def finishes(self, sync: SyncId, state: Any = "done", *actions: dict[str, Any]) -> None:
        told = [{"why": "code changed", "outcome": "done", **action} for action in actions]
        await self._journal.finish_sync(sync, state, at(9), actions=told)
        self._feed.happened(Kind.SYNC_FINISHED, state, sync=sync)


def where(service: str) -> str:
    return f"/api/{service}/"


@asynccontextmanager
async def controlling(journal: Journal, forge: Forge) -> AsyncIterator[Control]:
    """From its start to its sudden end."""
    await close_interrupted_syncs(journal)
    feed = Feed(journal, Veil())
    telling = asyncio.create_task(
        Telling(feed, History(journal, Commits(MIRROR, journal), feed), forge.hear, where).run()
    )
    await until(lambda: feed._listeners, what="somebody who listens")
    try:
        yield Control(journal, feed)
        await feed.settle()
    finally:
        telling.cancel()
        await asyncio.wait([telling])


async def said(forge: Forge, sha: str, expected: dict[str, str]) -> None:
    try:
        await until(lambda: forge.of(sha) == expected, within=30)
    except AssertionError:
        assert forge.of(sha) == expected


def test_a_service_that_only_waits_does_not_stay_pending(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        forge = Forge()
        async with controlling(journal, forge) as control:
            sync = await control.plans(OLD, auth="replace", tasks="replace", notes="replace")
            await said(
                forge,
                OLD,
                dict.fromkeys(["reconciler/auth", "reconciler/tasks", "reconciler/notes", AGGREGATE], "pending"),
            )
            control.ends(sync, "notes", "replace")
            waits = {"verb": "replace", "outcome": "failed", "reason": "DependencyNotReady", "message": "it waits"}
            await control.finishes(
                sync,
                "failed",
                {"service": "notes", "verb": "replace"},
                *({"service": one, **waits} for one in ("auth", "tasks")),
            )
            failed = dict.fromkeys(["reconciler/auth", "reconciler/tasks", AGGREGATE], "failure")
            await said(forge, OLD, {**failed, "reconciler/notes": "success"})

    in_journal(tmp_path / "journal.db", scenario)


async def dies_in_the_middle(control: Control, forge: Forge) -> None:
    await control.plans(OLD, tasks="replace", notes="replace", gone="hold")
    control.switches("notes")
    await until(lambda: forge.of(OLD).get(AGGREGATE) == "pending", what="what is pending")


@pytest.mark.parametrize(
    ("sha", "actions", "expected"),
    [
        pytest.param(
            NEW,
            (),
            {"reconciler/tasks": "error", "reconciler/notes": "success", AGGREGATE: "error"},
            id="a newer commit took its place",
        ),
        pytest.param(
            OLD,
            (),
            {"reconciler/tasks": "success", "reconciler/notes": "success", AGGREGATE: "success"},
            id="all of it was done already",
        ),
        pytest.param(
            OLD,
            ({"service": "tasks", "verb": "hold", "reason": "TestsFailed", "message": "2 of 5"},),
            {"reconciler/tasks": "failure", "reconciler/notes": "success", AGGREGATE: "failure"},
            id="a part of it had failed",
        ),
    ],
)
def test_what_control_left_in_the_middle_is_concluded_by_the_next(
    tmp_path: Path, sha: str, actions: tuple[dict[str, Any], ...], expected: dict[str, str]
) -> None:
    async def scenario(journal: Journal) -> None:
        forge = Forge()
        async with controlling(journal, forge) as control:
            await dies_in_the_middle(control, forge)
        async with controlling(journal, forge) as control:
            sync = await control.plans(sha)
            await control.finishes(sync, "failed" if actions else "done", *actions)
            await said(forge, OLD, expected)

    in_journal(tmp_path / "journal.db", scenario)


def test_a_commit_that_cannot_be_followed_at_all_is_a_failure_until_it_can(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        forge = Forge()
        async with controlling(journal, forge) as control:
            await control.follows(NEW, "failed", "services.yaml:2:1: there is no field `mountt`")
            await said(forge, NEW, {AGGREGATE: "failure"})
        forge = Forge()
        async with controlling(journal, forge) as control:
            await said(forge, NEW, {AGGREGATE: "failure"})
            await control.follows(NEW, "done")
            await said(forge, NEW, {AGGREGATE: "success"})
        forge = Forge()
        async with controlling(journal, forge) as control:
            await control.follows(OLD, "done")
            await said(forge, OLD, {AGGREGATE: "success"})
            assert forge.of(NEW) == {}, "what was taken back is said again"

    in_journal(tmp_path / "journal.db", scenario)


def test_what_was_rolled_back_is_not_said_to_be_live_by_the_next_control(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        forge = Forge()
        expected = {"reconciler/tasks": "failure", AGGREGATE: "failure"}
        async with controlling(journal, forge) as control:
            sync = await control.plans(NEW, tasks="replace")
            control.ends(sync, "tasks", "replace")
            await control.finishes(sync, "done", {"service": "tasks", "verb": "replace"})
            await said(forge, NEW, {"reconciler/tasks": "success", AGGREGATE: "success"})
            control.rolls_back("tasks", NEW, OLD)
            await said(forge, NEW, expected)
        forge = Forge()
        async with controlling(journal, forge) as control:
            await said(forge, OLD, {"reconciler/tasks": "success"})
            assert forge.of(NEW) == expected
            await control.finishes(await control.plans(NEW, tasks="hold"), "done", {"service": "tasks", "verb": "hold"})
            await control.follows(OLD, "done")
            await said(forge, OLD, {"reconciler/tasks": "success", AGGREGATE: "success"})
            assert forge.of(NEW) == expected, "the commit is held back, which is no success of it"
            assert forge.deployed[-1] == Deployed(OLD, "tasks", "/api/tasks/")

    in_journal(tmp_path / "journal.db", scenario)
