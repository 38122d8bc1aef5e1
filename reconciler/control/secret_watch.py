"""Whether a secret that is kept elsewhere has come, gone or changed: looked at every other second, asked for as a sync.

It compares when files were changed and reads none. It also notices that the key of the encrypted store came back.
"""

import asyncio
import logging

from reconciler.control.loop import Loop
from reconciler.control.secrets import Secrets
from reconciler.store.unusable import StoreUnusable

log = logging.getLogger(__name__)

EVERY = 2.0


async def watch_secrets(loop: Loop, secrets: Secrets) -> None:
    while True:
        await asyncio.sleep(EVERY)
        # A file may lie on a disk that does not answer.
        if not await asyncio.to_thread(secrets.news):
            continue
        try:
            await loop.triggers.ask("secret", "reconciler")
        except StoreUnusable as unusable:
            secrets.forget_news()
            log.warning("a sync could not be asked for", extra={"error": str(unusable)})
