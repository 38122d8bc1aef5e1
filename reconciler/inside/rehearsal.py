"""Serve a small application to nobody before the first fork, so that no worker does anything for the first time.

The framework imports some of itself with the first request, fills caches, and the interpreter rewrites the bytecode
it runs often. Done here, once, all that is shared by the workers; done there, it costs each of them time and memory
of its own. Nothing of it may stay behind: no thread, no descriptor, no loop.
"""

import asyncio
import contextlib
import importlib
from typing import Any

from fastapi import APIRouter

from .connection import Connection
from .lifespan import Lifespan
from .sample.router import router
from .service import Application, shell
from .traffic import Traffic

ROUNDS = 40
IMPORTED_LATE = (
    "anyio._backends._asyncio",
    "anyio.to_thread",
    "concurrent.futures.thread",
    "encodings.idna",
    "fastapi.openapi.docs",
    "fastapi.openapi.utils",
    "fastapi.responses",
    "fastapi.sse",
    "fastapi.websockets",
    "multiprocessing",
    "python_multipart",
    "starlette.background",
    "starlette.concurrency",
    "starlette.formparsers",
    "starlette.middleware.cors",
    "starlette.staticfiles",
    "starlette.websockets",
    "uvicorn.middleware.proxy_headers",
    "zoneinfo",
)

HOST = b" HTTP/1.1\r\nHost: localhost\r\n"
REQUESTS = (
    b"GET /rehearsal/7?text=a" + HOST + b"\r\n",
    b"GET /rehearsal/seven" + HOST + b"Accept: */*\r\nConnection: keep-alive\r\n\r\n",
    b"POST /rehearsal/" + HOST + b'Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{"text":"a"}',
    b"POST /rehearsal/" + HOST + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /rehearsal/events/" + HOST + b"\r\n",
    b"GET /rehearsal/nowhere/at/all" + HOST + b"\r\n",
    b"GET /rehearsal/openapi.json" + HOST + b"\r\n",
)


def rehearse(rounds: int = ROUNDS) -> None:
    for name in IMPORTED_LATE:
        # Optional, or not in the version that this environment pins.
        with contextlib.suppress(ImportError, RuntimeError):
            importlib.import_module(name)
    asyncio.run(_perform(shell(router, "rehearsal"), rounds))


def make_one_route() -> None:
    """As little as every service does: what this writes to, each of them would."""
    router = APIRouter()
    router.get("/{number}")(_answer)
    shell(router, "rehearsal")


async def _answer(number: int, factor: float = 1.0) -> dict[str, float]:
    return {"number": number * factor}


async def _perform(app: Application, rounds: int) -> None:
    lifespan = Lifespan(app)
    await lifespan.startup()
    loop = asyncio.get_running_loop()
    traffic = Traffic(app, lifespan.state, service="rehearsal", prefix="/rehearsal", body_limit=None, loop=loop)
    stage: Any = _Stage()
    connection = Connection(traffic)
    connection.connection_made(stage)
    for _ in range(rounds):
        for request in REQUESTS:
            connection.data_received(request)
            while connection.is_busy:  # noqa: ASYNC110
                await asyncio.sleep(0)
    connection.connection_lost(None)
    traffic.close()
    await lifespan.shutdown()


class _Stage(asyncio.Transport):
    """A transport that leads nowhere."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        return

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return

    def close(self) -> None:
        return
