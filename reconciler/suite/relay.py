"""A loopback address that leads to one private socket and nowhere else, for as long as somebody tests there.

For programs that cannot speak HTTP over a Unix socket. It copies bytes and knows nothing of HTTP. Whoever is on this
machine can reach it meanwhile, as they can reach the services' port.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

LOOPBACK: Final = "127.0.0.1"
PIECE: Final = 64 * 1024
AT_ONCE: Final = 64


@asynccontextmanager
async def relay(socket: str) -> AsyncIterator[int]:
    """The port on which the private socket can be reached; when the block is left, nobody can any more."""
    open_now: set[asyncio.Task[None]] = set()
    room = asyncio.Semaphore(AT_ONCE)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or not server.is_serving():
            writer.close()
            return
        open_now.add(task)
        task.add_done_callback(open_now.discard)
        try:
            async with room:
                await _connect_through(socket, reader, writer)
        except (asyncio.CancelledError, OSError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(pass_on, LOOPBACK, 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in list(open_now):
            task.cancel()
        if open_now:
            await asyncio.wait(list(open_now))


async def _connect_through(socket: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    inner_reader, inner_writer = await asyncio.open_unix_connection(socket)
    both = [
        asyncio.create_task(_copy(reader, inner_writer)),
        asyncio.create_task(_copy(inner_reader, writer)),
    ]
    try:
        await asyncio.wait(both)
    finally:
        for copying in both:
            copying.cancel()
        await asyncio.wait(both)
        inner_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side ends; the other is told that there is nothing more."""
    with suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
