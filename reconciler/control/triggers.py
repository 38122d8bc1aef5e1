"""Why the loop wakes.

One sync is being looked into, one may wait; whatever arrives meanwhile joins the one that waits, so that
a burst is one sync and no trigger is ever lost. The trigger says only *when*: what changed comes from git.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from reconciler.model.names import SyncId


@dataclass(frozen=True, slots=True)
class Request:
    sync: SyncId
    kind: str
    """poll, webhook, push, person, start, worker, retry, secret."""
    actor: str
    retry: bool = False
    """Forget what failed before, and try it again."""


class Triggers:
    def __init__(self, begin: Callable[[str], Awaitable[SyncId]]) -> None:
        self._begin = begin
        self._waiting: Request | None = None
        self._asked = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    @property
    def is_asked(self) -> bool:
        """Whether somebody asks, or asked and waits for the loop."""
        return self._one_at_a_time.locked() or self._waiting is not None

    async def ask(self, kind: str, actor: str, *, retry: bool = False) -> Request:
        """Ask for a sync. Once this returns, one that began after the question is certain to happen."""
        # Whoever stops waiting, a pusher who hangs up say, has asked all the same: it may be written down already.
        return await asyncio.shield(self._ask(kind, actor, retry))

    async def _ask(self, kind: str, actor: str, retry: bool) -> Request:
        async with self._one_at_a_time:
            if self._waiting is None:
                self._waiting = Request(await self._begin(kind), kind, actor, retry)
            elif retry:
                self._waiting = replace(self._waiting, retry=True)
            self._asked.set()
            return self._waiting

    async def next(self) -> Request:
        await self._asked.wait()
        async with self._one_at_a_time:
            request, self._waiting = self._waiting, None
            self._asked.clear()
        if request is None:
            raise AssertionError("woken without a request")
        return request
