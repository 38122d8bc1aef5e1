"""Takes news to one destination, in order, again and again while it is not taken, and never in anybody's way.

What waits is bounded: the oldest makes room. What a stop finds waiting is lost; events in the journal are not.
"""

import asyncio
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import httpx

from reconciler.model.news import Item
from reconciler.model.standard_webhooks import Key
from reconciler.notification.destination import Destination
from reconciler.notification.message import Message
from reconciler.notification.public import NotPublic, Resolve, resolve, settle_on

log = logging.getLogger(__name__)

MOST_WAITING = 100
PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0)
LONGEST_PAUSE = 900.0
TIMEOUT = httpx.Timeout(15.0, connect=5.0)
WITHIN = 30.0
"""An attempt as a whole: whoever answers a letter at a time, or resolves a name for ever, is never silent for long."""
MAY_PASS = frozenset({408, 425, 429})
GONE = 410


class Undelivered(Exception):
    """It was not taken, and why; with what the other side asked for, if it may be taken later."""

    def __init__(self, why: str, *, may_pass: bool, after: float = 0.0) -> None:
        super().__init__(why)
        self.may_pass = may_pass
        self.after = after


class Courier:
    def __init__(
        self,
        destination: Destination,
        keys: Sequence[Key] = (),
        *,
        resolve: Resolve = resolve,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.destination = destination
        self._keys = keys
        self._resolve = resolve
        self._pause = pause
        self._trust = trust or ssl.create_default_context()
        self._waiting: deque[Message] = deque()
        self._given = asyncio.Event()
        self._is_gone = False
        self.dropped = 0
        """News that had to give way to newer, or that was not taken in the end."""

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def give(self, item: Item) -> None:
        if self._is_gone:
            return
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
            log.warning("news was dropped: too much waits", extra={"to": str(self.destination)})
        self._waiting.append(Message.of(item, self.destination))
        self._given.set()

    async def run(self) -> None:
        """Nothing of the environment steers it: no proxy, no redirect, no netrc."""
        async with httpx.AsyncClient(verify=self._trust, trust_env=False, timeout=TIMEOUT) as client:
            while not self._is_gone:
                while not self._waiting:
                    self._given.clear()
                    await self._given.wait()
                try:
                    await self._deliver(client, self._waiting.popleft())
                except Exception:
                    log.exception("a bug stopped a notification", extra={"to": str(self.destination)})

    async def _deliver(self, client: httpx.AsyncClient, message: Message) -> None:
        for pause in (*PAUSES, None):
            try:
                await self._attempt(client, message)
            except Undelivered as error:
                told = {"to": str(self.destination), "why": str(error)}
                if pause is None or not error.may_pass:
                    self.dropped += 1
                    log.warning("news could not be delivered", extra=told)
                    return
                log.info("news is delivered later", extra=told)
                jittered = pause * random.uniform(0.8, 1.2)  # noqa: S311
                await self._pause(max(jittered, min(error.after, LONGEST_PAUSE)))
            else:
                return

    async def _attempt(self, client: httpx.AsyncClient, message: Message) -> None:
        try:
            async with asyncio.timeout(WITHIN):
                answer = await self._send(client, message)
        except NotPublic as error:
            raise Undelivered(str(error), may_pass=False) from error
        except (httpx.HTTPError, OSError) as error:
            raise Undelivered(type(error).__name__, may_pass=True) from error
        self._judge(answer)

    async def _send(self, client: httpx.AsyncClient, message: Message) -> httpx.Response:
        """The answer, of which only the head is read."""
        where = self.destination
        address = await settle_on(where, self._resolve)
        request = client.build_request(
            "POST",
            httpx.URL(where.address).copy_with(host=address),
            headers=message.headers(where, self._keys, time.time()),
            content=message.body,
            # The certificate must be for the name, though the connection goes to the address.
            extensions={"sni_hostname": where.host},
        )
        answer = await client.send(request, stream=True)
        await answer.aclose()
        return answer

    def _judge(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        if status == GONE:
            self._is_gone = True
            self._waiting.clear()
        after = answer.headers.get("retry-after", "")
        raise Undelivered(
            f"it answered {status}",
            may_pass=status >= 500 or status in MAY_PASS,
            after=float(after) if after.isdecimal() else 0.0,
        )
