"""Many who listen, and one who does not keep up: nobody else notices, and nothing is lost."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import uvicorn

from reconciler.api import Access, build
from reconciler.control import feed as feeds
from reconciler.model.names import ServiceName
from reconciler.model.notice import Kind, Notice
from tests.api.asking import TOKEN
from tests.api.platform import Still
from tests.api.statuses import SINCE, happened, service
from tests.waiting import until

NUMBER = re.compile(rb"^id: (\d+)$", re.M)
DASHBOARDS = 100


@asynccontextmanager
async def serving(platform: Still) -> AsyncIterator[int]:
    """On a real port, in this loop: what happens can be told to it."""
    app = build(platform, Access(TOKEN, recognisers=[platform.keys]))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started, what="the server")
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = server.force_exit = True
        await task


@asynccontextmanager
async def listening(port: int, query: str = "", room: int | None = None) -> AsyncIterator[asyncio.StreamReader]:
    """`room` is how many bytes the system holds for a reader that does not read."""
    made = socket.socket()
    if room is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=made, limit=1 << 12 if room else 1 << 20)
    head = f"GET /v1/events{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    writer.write(head.encode())
    try:
        assert b" 200 " in await reader.readline()
        await reader.readuntil(b"retry: ")
        yield reader
    finally:
        writer.close()


async def heard(reader: asyncio.StreamReader, last: int) -> list[int]:
    """The numbers of events, up to the last that was told."""
    numbers: list[int] = []
    async with asyncio.timeout(30):
        while not numbers or numbers[-1] != last:
            numbers += [int(each) for each in NUMBER.findall(await reader.readline())]
    return numbers


def tell(platform: Still, number: int, message: str = "now") -> None:
    platform.history.told.append(happened(number))
    # A clock that is set back changes nothing of the order.
    at = SINCE - timedelta(days=number)
    notice = Notice(
        kind=Kind.RELEASE_SWITCHED, at=at, message=message, id=number, service=ServiceName("tasks"), data={}
    )
    for listener in platform.history.listeners:
        listener.tell(notice)


def test_a_hundred_dashboards_hear_everything() -> None:
    async def scenario() -> None:
        platform = Still(service("tasks"))
        async with serving(platform) as port, AsyncExitStack() as open_ones:
            readers = [await open_ones.enter_async_context(listening(port)) for _ in range(DASHBOARDS)]
            await until(lambda: len(platform.history.listeners) == DASHBOARDS, what="all of them")
            for number in range(4, 14):
                tell(platform, number)
            every = await asyncio.gather(*(heard(reader, 13) for reader in readers))
            assert every == [list(range(4, 14))] * DASHBOARDS
            await open_ones.aclose()
            await until(lambda: not platform.history.listeners, what="that nobody is kept who left")

    asyncio.run(scenario())


def test_a_reader_that_does_not_read_delays_nobody_and_then_misses_nothing() -> None:
    async def scenario() -> None:
        platform = Still(service("tasks"))
        last = 4 + 3 * feeds.MOST_WAITING
        async with serving(platform) as port, listening(port, "?after=3", room=4096) as slow, listening(port) as quick:
            await until(lambda: len(platform.history.listeners) == 2, what="both")
            listened = asyncio.create_task(heard(quick, last))
            for number in range(4, last + 1):
                tell(platform, number, "x" * 2_000)
                if number % 100 == 0:
                    await asyncio.sleep(0)  # the server's turn: all of this is one loop
            assert await listened == list(range(4, last + 1))
            waiting = max(len(listener._waiting) for listener in platform.history.listeners)
            assert waiting <= feeds.MOST_WAITING
            assert await heard(slow, last) == list(range(4, last + 1))

    asyncio.run(scenario())


def test_a_browser_that_slept_goes_on_where_it_was_also_when_the_clock_was_set_back() -> None:
    async def scenario() -> None:
        platform = Still(service("tasks"))
        async with serving(platform) as port:
            async with listening(port) as awake:
                await until(lambda: bool(platform.history.listeners), what="the reader")
                tell(platform, 4)
                assert await heard(awake, 4) == [4]
            await until(lambda: not platform.history.listeners, what="its sleep")
            for number in range(5, 8):
                tell(platform, number)
            async with listening(port, "?after=4") as again:
                assert await heard(again, 7) == [5, 6, 7]

    asyncio.run(scenario())
