"""The back-stop: ask now and then whether the branch has moved, also when nobody says so.

It asks before it fetches, and asks for no sync when nothing came: a quiet repository leaves no trace.
"""

import asyncio
import random
import time

from reconciler.control.loop import Loop
from reconciler.model.failure import Failure, Wait
from reconciler.source.mirror import Mirror
from reconciler.source.polling import next_poll


async def poll(loop: Loop, mirror: Mirror, interval: float) -> None:
    failures, after = 0, None
    while True:
        due = next_poll(time.monotonic(), interval, failures=failures, after=after, random=random.random)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        try:
            moved = await mirror.latest() != mirror.tip
        except Failure as failure:
            failures, after = failures + 1, failure.after if isinstance(failure, Wait) else None
            loop.source_failed(failure)
            continue
        failures, after = 0, None
        if moved or loop.seen.trouble is not None:
            await loop.triggers.ask("poll", "reconciler")
