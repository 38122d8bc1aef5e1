"""Ask the application without a network in between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, TypeVar

import httpx

from reconciler.api import Access, build
from tests.api.platform import Still

TOKEN = "rcl_" + "t" * 43
GOOD = {"Authorization": f"Bearer {TOKEN}"}
BAD = {"Authorization": "Bearer rcl_guessed"}
T = TypeVar("T")


@cache
def openapi() -> dict[str, Any]:
    """The control plane's own document: the same for every platform, and not to be changed."""
    return build(Still(), Access(TOKEN)).openapi()


@asynccontextmanager
async def client(platform: Still, token: bool = True, access: Access | None = None) -> AsyncIterator[httpx.AsyncClient]:
    app = build(platform, access or Access(TOKEN, recognisers=[platform.keys]))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = GOOD if token else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8001", headers=headers) as asked:
        yield asked


def ask(platform: Still, scenario: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with client(platform) as asked:
            return await scenario(asked)

    return asyncio.run(run())


def get(platform: Still, path: str, **headers: str) -> httpx.Response:
    return ask(platform, lambda asked: asked.get(path, headers=headers))
