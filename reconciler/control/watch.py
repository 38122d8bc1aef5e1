"""After the switch: a new release is watched for a while, with the one before it parked and ready to return.

Looks at two things only, whether a worker of it dies and how many of its answers are failures, and says why
it should not keep the traffic. What follows from that is the lane's business.
"""

import asyncio
import contextlib

from reconciler.model.failure import Reason, Stalled
from reconciler.model.watch import Answers, clearly_worse
from reconciler.worker.crew import Crew

LOOK_EVERY = 0.2


async def watch(new: Crew, before: Answers, window: float, crashed: asyncio.Event) -> Stalled | None:
    """Why `new` should give the traffic back, as soon as that is clear; None when the window passed well.

    `before` is what the old release had answered. What suites ask does not count, at whichever time they ask it.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + window
    while (left := until - loop.time()) > 0:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(crashed.wait(), min(LOOK_EVERY, left))
        if crashed.is_set():
            reason = Reason.OUT_OF_MEMORY if new.is_out_of_memory else Reason.CRASH_LOOP
            return Stalled(reason, f"{new.spec.release} {new.last_exit or 'ended'} soon after the switch")
        answers = await new.answers()
        if clearly_worse(answers, before):
            return _answers_badly(new, answers)
    return None


def _answers_badly(new: Crew, answers: Answers) -> Stalled:
    return Stalled(
        Reason.TESTS_FAILED,
        f"{new.spec.release} passed its suite, then answered {answers.failed} of {answers.total} requests with 5xx",
    )
