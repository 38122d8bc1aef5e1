"""What has to be written down sooner or later, whatever the store says now.

For what cannot be declined any more: nobody is left to tell, or what was begun must not be forgotten. Whoever can be
told that there is no room is told so instead.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from reconciler.store.unusable import StoreUnusable

T = TypeVar("T")

log = logging.getLogger(__name__)

STORE_RETRY = 5.0
"""Seconds until a store without room is asked again."""


async def insist(write: Callable[[], Awaitable[T]], waits: str, **about: object) -> T:
    """Try until it is written; each time that it is not, say what waits."""
    while True:
        try:
            return await write()
        except StoreUnusable as unusable:
            log.warning(waits, extra={**about, "why": str(unusable)})
            await asyncio.sleep(STORE_RETRY)
