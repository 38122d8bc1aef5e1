"""What failed and may pass is tried again: soon at first, then ever later, and for as long as it lasts."""

import asyncio

from reconciler.control.retry import Retry
from reconciler.model.failure import Reason, Wait

MISSING = Wait(Reason.SECRET_MISSING, "there is no secret TOKEN")


def test_a_failure_that_lasts_for_weeks_is_tried_again_all_the_same() -> None:
    async def scenario() -> None:
        retry = Retry(lambda: None)
        for _ in range(5_000):
            retry.after(MISSING)
            assert retry.is_to_come
            retry.cancel()

    asyncio.run(scenario())
