"""Events as they happen: in order, each once, from where a reader left off."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from reconciler.api import Access, build
from reconciler.control import feed as feeds
from reconciler.model.access import SCOPES, Caller
from reconciler.model.names import ServiceName
from reconciler.model.notice import Kind, Notice
from tests.api.asking import TOKEN, get
from tests.api.platform import Still
from tests.api.statuses import SINCE, happened, service
from tests.waiting import until


def notice(number: int | None, name: str | None = "tasks", message: str = "now") -> Notice:
    kind = Kind.RELEASE_SWITCHED if number else Kind.PHASE_BEGAN
    return Notice(kind=kind, at=SINCE, message=message, id=number, service=ServiceName(name) if name else None)


@asynccontextmanager
async def reading(
    platform: Still, query: str = "", token: str = TOKEN, **headers: str
) -> AsyncIterator["asyncio.Queue[str]"]:
    """A reader that takes what comes; a queue of nothing but the blocks it was told."""
    app = build(platform, Access(TOKEN, recognisers=[platform.keys]))
    blocks: asyncio.Queue[str] = asyncio.Queue()
    gone = asyncio.Event()
    given = {"host": "localhost:8001", "authorization": f"Bearer {token}", **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8001),
        "state": {},
    }

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
        for block in message.get("body", b"").decode().split("\n\n"):
            if block:
                blocks.put_nowait(block)

    answering = asyncio.create_task(app(scope, receive, send))
    try:
        yield blocks
    finally:
        gone.set()
        answering.cancel()
        await asyncio.wait([answering])


async def told(blocks: "asyncio.Queue[str]") -> dict[str, str]:
    async with asyncio.timeout(30):
        block = await blocks.get()
    return dict(line.split(": ", 1) for line in block.split("\n"))


def test_a_new_reader_hears_what_happens_from_now_on() -> None:
    async def scenario() -> None:
        platform = Still(service("tasks"))
        async with reading(platform) as blocks:
            assert (await told(blocks))["retry"] == "2000"
            platform.history.listeners[0].tell(notice(4, message="two\nlines"))
            heard = await told(blocks)
            assert (heard["id"], heard["event"]) == ("4", "ReleaseSwitched")
            assert json.loads(heard["data"])["message"] == "two\nlines"

    asyncio.run(scenario())


@pytest.mark.parametrize(("query", "headers"), [("after=1", {}), ("", {"last-event-id": "1"})])
def test_a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice(query: str, headers: dict[str, str]) -> None:
    async def scenario() -> None:
        platform = Still(service("tasks"))
        async with reading(platform, query, **headers) as blocks:
            await told(blocks)
            assert [(await told(blocks))["id"] for _ in range(2)] == ["2", "3"]
            # Written while the journal was read: it was told from there already.
            platform.history.listeners[0].tell(notice(3))
            platform.history.listeners[0].tell(notice(4))
            assert (await told(blocks))["id"] == "4"

    asyncio.run(scenario())


def test_a_reader_that_was_too_slow_is_caught_up_from_the_journal() -> None:
    async def scenario() -> None:
        platform = Still(service("tasks"))
        async with reading(platform, "after=3") as blocks:
            await told(blocks)
            many = feeds.MOST_WAITING + 50
            for number in range(4, 4 + many):
                platform.history.told.append(happened(number))
                platform.history.listeners[0].tell(notice(number))
            assert [(await told(blocks))["id"] for _ in range(many)] == [str(number) for number in range(4, 4 + many)]

    asyncio.run(scenario())


def test_progress_is_told_to_those_who_ask_for_it() -> None:
    async def scenario() -> None:
        platform = Still(service("tasks"))
        async with reading(platform) as plain, reading(platform, "progress=true") as curious:
            await told(plain), await told(curious)
            for listener in platform.history.listeners:
                listener.tell(notice(None, message="preparing"))
                listener.tell(notice(4))
            heard = await told(curious)
            assert ("id" in heard, heard["event"]) == (False, "PhaseBegan")
            assert (await told(plain))["id"] == "4"

    asyncio.run(scenario())


def test_a_reader_hears_of_its_own_services_only() -> None:
    async def scenario() -> None:
        platform = Still(service("tasks"), service("notes"))
        caller = Caller("admin", SCOPES)
        only = await platform.keys.create("notes", {"read"}, ["notes"], None, caller)
        async with reading(platform, "after=0", only.token) as limited, reading(platform, "service=notes") as chosen:
            await told(limited), await told(chosen)
            for listener in platform.history.listeners:
                listener.tell(notice(4, "tasks"))
                listener.tell(notice(5, None))
                listener.tell(notice(6, "notes"))
            assert (await told(limited))["id"] == (await told(chosen))["id"] == "6"

    asyncio.run(scenario())


def test_a_reader_that_comes_from_another_history_hears_what_happens_in_this_one() -> None:
    async def scenario() -> None:
        platform = Still(service("tasks"))
        async with reading(platform, **{"last-event-id": "9000"}) as blocks:
            await told(blocks)
            await until(lambda: platform.history.listeners, what="the listener")
            platform.history.listeners[0].tell(notice(4))
            assert (await told(blocks))["id"] == "4"

    asyncio.run(scenario())


def test_a_reader_hears_nothing_more_once_its_token_is_revoked() -> None:
    async def scenario() -> None:
        platform = Still(service("tasks"))
        made = await platform.keys.create("a screen", {"read"}, None, None, Caller("admin", SCOPES))
        async with reading(platform, token=made.token) as blocks:
            await told(blocks)
            (listener,) = platform.history.listeners
            listener.tell(notice(4))
            assert (await told(blocks))["id"] == "4"
            await platform.keys.revoke(made.id)
            listener.tell(notice(5))
            await until(lambda: not platform.history.listeners, what="the end of the answer")
            assert blocks.empty()

    asyncio.run(scenario())


def test_a_quiet_day_is_not_mistaken_for_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.api.events.HEARTBEAT", 0.01)

    async def scenario() -> None:
        async with reading(Still(service("tasks"))) as blocks:
            await told(blocks)
            async with asyncio.timeout(30):
                assert await blocks.get() == ": nothing new"

    asyncio.run(scenario())


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=99999999999999999999", "progress=perhaps"])
def test_what_cannot_be_meant_is_422(query: str) -> None:
    assert get(Still(service("tasks")), f"/v1/events?{query}").status_code == 422


def test_the_newest_are_a_list_too() -> None:
    page = get(Still(service("tasks")), "/v1/events/newest?limit=2").json()
    assert [event["id"] for event in page["items"]] == [2, 3]
