"""Requests to a forge's API, and what its answers mean for whoever has to say something.

Tried again: a forge that does not answer, that is broken (5xx), or that asks for patience (429, and GitHub's 403 with
its rate limits). Not tried again: what it understood and refused.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT = httpx.Timeout(15.0, connect=10.0)
LONGEST_WAIT = 3600.0
LIMITED = 60.0
"""What GitHub wants to be waited after a secondary limit that does not say how long; and ever longer from then on."""
LONGEST_ANSWER = 8 << 20


@dataclass(eq=False)
class Refused(Exception):
    """It was understood, and will be refused again."""

    status: int
    message: str

    def __str__(self) -> str:
        return f"{self.status} {self.message}"


@dataclass(eq=False)
class NotNow(Exception):
    """Worth another try, after this many seconds where the forge says so."""

    message: str
    after: float | None = None

    def __str__(self) -> str:
        return self.message


class Api:
    """One forge, as one client with its credentials."""

    def __init__(self, base: str, transport: httpx.AsyncBaseTransport | None = None, **headers: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=base.rstrip("/"),
            timeout=TIMEOUT,
            headers={"User-Agent": "reconciler", **headers},
            transport=transport,
            follow_redirects=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **query: str
    ) -> Any:
        """The answer's JSON. Raises `Refused` or `NotNow`."""
        try:
            async with asyncio.timeout(60):
                response = await self._client.request(method, path, json=body, params=query, headers=headers)
                if (onward := _onward(response)) is not None:
                    response = await self._client.send(onward)
        except (httpx.HTTPError, TimeoutError) as error:
            raise NotNow(f"the forge does not answer: {error or type(error).__name__}") from error
        if response.is_success:
            return _json(response)
        raise _trouble(response)


async def listed(
    page: Callable[[int], Awaitable[Sequence[dict[str, Any]]]], *, per_page: int, most: int
) -> AsyncIterator[dict[str, Any]]:
    """One item after the other of what a forge lists by pages, of `most` of them."""
    for number in range(1, most + 1):
        items = await page(number)
        for item in items:
            yield item
        if len(items) < per_page:
            return


def _onward(response: httpx.Response) -> httpx.Request | None:
    """Where a repository is that was renamed: one step, on the same host, as the same request."""
    before, then = response.request, response.next_request
    if then is None or then.method != before.method:
        return None
    is_here = (then.url.scheme, then.url.netloc) == (before.url.scheme, before.url.netloc)
    return then if is_here else None


def _trouble(response: httpx.Response) -> Exception:
    status = response.status_code
    wait = _wait_of(response)
    message = _message(response)
    if status == 429 or (status == 403 and (wait is not None or "rate limit" in message.lower())):
        return NotNow(f"the forge says {status}: {message}", LIMITED if wait is None else wait)
    return NotNow(f"the forge says {status}: {message}", wait) if status >= 500 else Refused(status, message)


def _wait_of(response: httpx.Response) -> float | None:
    """`retry-after`, or the moment at which GitHub's budget is full again."""
    after = response.headers.get("retry-after", "")
    if after.isdigit():
        return min(float(after), LONGEST_WAIT)
    reset = response.headers.get("x-ratelimit-reset", "")
    if response.headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return min(max(0.0, float(reset) - time.time()), LONGEST_WAIT)
    return None


def _message(response: httpx.Response) -> str:
    told = _json(response)
    text = told.get("message") or told.get("error") if isinstance(told, dict) else None
    return str(text or response.reason_phrase)[:300]


def _json(response: httpx.Response) -> Any:
    if not response.content or len(response.content) > LONGEST_ANSWER:
        return None
    try:
        return response.json()
    except ValueError:
        return None
