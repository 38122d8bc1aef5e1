"""The door of webhooks, with a real journal behind it: who is let in, what is looked at first, and bounds."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from reconciler.api import Access, build
from reconciler.api import webhooks as door
from reconciler.control.boot import close_interrupted_syncs
from reconciler.control.inbox import Inbox
from reconciler.control.pace import Pace
from reconciler.control.triggers import Triggers
from reconciler.model.webhook.doors import doors_from
from reconciler.model.webhook.event import Followed
from reconciler.store.journal import Journal
from tests import webhooks
from tests.api.asking import GOOD, TOKEN
from tests.api.platform import Still
from tests.store.journals import in_journal
from tests.webhooks import ADDRESS, ENVIRON, Hook


@dataclass
class Place:
    client: httpx.AsyncClient
    journal: Journal
    triggers: Triggers
    pace: Pace


def play(
    path: Path, scenario: Callable[[Place], Awaitable[None]], body: int | None = None, branch: str = "main"
) -> None:
    async def in_it(journal: Journal) -> None:
        triggers = Triggers(lambda kind: journal.begin_sync(kind, datetime.now(UTC)))
        pace = Pace(60.0)
        inbox = Inbox(Followed(ADDRESS, branch), journal, triggers, pace)
        still = Still()
        still.webhooks = inbox  # type: ignore[assignment]
        app = build(still, Access(TOKEN), doors_from(ENVIRON), body)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        running = asyncio.create_task(inbox.run())
        async with httpx.AsyncClient(transport=transport, base_url="http://deploy.example") as client:
            await scenario(Place(client, journal, triggers, pace))
        running.cancel()
        await asyncio.wait([running])

    in_journal(path / "journal.db", in_it)


async def post(client: httpx.AsyncClient, hook: Hook, **headers: str) -> httpx.Response:
    return await client.post(hook.path, content=hook.body, headers={**hook.headers, **headers})


def test_no_token_and_no_name_is_asked_for_and_reading_receipts_needs_both(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        answer = await post(place.client, webhooks.github())
        assert answer.status_code == 202
        assert place.pace.interval == 600.0, "webhooks come: the poll may take its time"
        assert (await place.client.get("/v1/webhooks/1", headers=GOOD)).status_code == 421
        at_home = {"Host": "localhost"}
        assert (await place.client.get("/v1/webhooks/1", headers=at_home)).status_code == 401
        told = (await place.client.get("/v1/webhooks/1", headers={**GOOD, **at_home})).json()
        assert (told["id"], told["state"], told["reason"]) == ("1", "accepted", "a push to main")
        listed = (await place.client.get("/v1/webhooks", headers={**GOOD, **at_home})).json()
        assert (listed["total"], listed["next"], listed["items"][0]["id"]) == (1, None, "1")

    play(tmp_path, scenario)


def test_what_is_ignored_is_written_down_with_its_reason_and_does_not_slow_the_poll(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        told = (await post(place.client, webhooks.github("issues", {"action": "opened"}))).json()
        assert told == {
            "receipt": "1",
            "state": "ignored",
            "reason": "issues.opened does not say that a branch moved",
            "repeated": False,
        }
        assert place.pace.interval == 60.0
        assert (await place.journal.syncs()).total == 0

    play(tmp_path, scenario)


def test_guessing_is_slowed_down_and_a_genuine_one_still_gets_in(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        forged = webhooks.github(secret="a secret of somebody else")
        answers = [await post(place.client, forged) for _ in range(100)]
        assert [answer.status_code for answer in answers] == [401] * 20 + [429] * 80
        assert answers[-1].headers["retry-after"].isdigit()
        assert (await post(place.client, webhooks.github())).status_code == 202
        assert (await place.journal.webhooks()).total == 1

    play(tmp_path, scenario)


def test_a_body_is_not_even_read_where_there_is_nothing_to_check(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async def body() -> AsyncIterator[bytes]:
            raise AssertionError("somebody read it")
            yield b""

        for path, status in (("/webhooks/github", 401), ("/webhooks/nobody", 404)):
            answer = await place.client.post(path, content=body(), headers={"Host": "localhost"})
            assert answer.status_code == status

    play(tmp_path, scenario)


@pytest.mark.parametrize(("provider", "most"), [("github", 25_000_000), ("gitea", 5_000_000)])
def test_a_body_may_be_as_large_as_the_provider_sends_them(tmp_path: Path, provider: str, most: int) -> None:
    makers: dict[str, Callable[..., Hook]] = {"github": webhooks.github, "gitea": webhooks.gitea}
    make = makers[provider]
    empty = len(json.dumps({**webhooks.pushed(), "padding": ""}))

    async def scenario(place: Place) -> None:
        fits = make(payload={**webhooks.pushed(), "padding": "x" * (most - empty)})
        assert len(fits.body) == most
        assert (await post(place.client, fits)).status_code == 202
        assert (await post(place.client, make(payload={**webhooks.pushed(), "padding": "x" * most}))).status_code == 413

    play(tmp_path, scenario)


def test_the_operator_may_allow_less(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        assert (await post(place.client, webhooks.github(payload={"padding": "x" * 5000}))).status_code == 413
        assert (await post(place.client, webhooks.github())).status_code == 202

    play(tmp_path, scenario, body=5000)


def test_bodies_that_arrive_slowly_or_all_at_once_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_WITHIN", 3.0)
    monkeypatch.setattr(door, "MOST_IN_HAND", 1000)
    hook = webhooks.github()
    told = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 800
        told.set()
        await asyncio.Event().wait()

    async def scenario(place: Place) -> None:
        waiting = asyncio.create_task(place.client.post(hook.path, content=slow(), headers=hook.headers))
        await told.wait()
        full = await place.client.post(hook.path, content=b"x" * 300, headers=hook.headers)
        assert (full.status_code, full.headers["retry-after"]) == (503, "5")
        assert (await waiting).status_code == 408
        assert (await post(place.client, hook)).status_code == 202, "what was held is let go of"

    play(tmp_path, scenario)


def test_one_whose_sync_failed_is_tried_again_when_it_is_delivered_again(tmp_path: Path) -> None:
    hook = webhooks.github()

    async def scenario(place: Place) -> None:
        await post(place.client, hook)
        first = await place.triggers.next()
        assert (await post(place.client, hook)).json()["repeated"]
        assert (await place.journal.syncs()).total == 1, "it is under way already"
        await place.journal.finish_sync(first.sync, "failed", datetime.now(UTC))
        assert (await post(place.client, hook)).status_code == 200
        second = await place.triggers.next()
        assert second.sync != first.sync
        await written_down(place, second.sync)

    play(tmp_path, scenario)


def test_what_was_ignored_is_judged_again_when_it_is_delivered_again(tmp_path: Path) -> None:
    hook = webhooks.github()

    async def wrong(place: Place) -> None:
        assert (await post(place.client, hook)).json()["state"] == "ignored"

    async def right(place: Place) -> None:
        told = (await post(place.client, hook)).json()
        assert (told["state"], told["repeated"]) == ("accepted", True), told["reason"]
        await written_down(place, (await place.triggers.next()).sync)

    play(tmp_path, wrong, branch="other")
    play(tmp_path, right)


def test_of_a_sync_that_nobody_will_finish_the_receipt_tells_no_end(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await post(place.client, webhooks.github())
        lost = await place.triggers.next()
        await written_down(place, lost.sync)
        await close_interrupted_syncs(place.journal)
        asked = await place.client.get("/v1/webhooks/1", headers={**GOOD, "Host": "localhost"})
        assert (asked.json()["state"], asked.json()["sync"], asked.json()["outcome"]) == ("accepted", None, None)
        assert await place.journal.owing() == (1,), "the next control asks for another"

    play(tmp_path, scenario)


async def written_down(place: Place, sync: str) -> None:
    async with asyncio.timeout(10):
        while (told := await place.journal.webhook("1")) is None or told.sync != sync:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_messages_of_one_text_and_different_signed_numbers_are_different_messages(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        first, second = (webhooks.standard(at=time.time()) for _ in range(2))
        assert first.body == second.body
        receipts = [(await post(place.client, hook)).json()["receipt"] for hook in (first, second, first)]
        assert receipts == ["1", "2", "1"]

    play(tmp_path, scenario)
