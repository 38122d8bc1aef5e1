"""Another try by itself, for what failed and may pass: after a second and then ever later, five minutes at most."""

import asyncio
import random
from collections.abc import Callable

from reconciler.model.failure import Failure, Wait

FIRST_RETRY = 1.0
LONGEST_RETRY = 300.0


class Retry:
    def __init__(self, again: Callable[[], None]) -> None:
        self._again = again
        self._pause = FIRST_RETRY
        self._at: asyncio.TimerHandle | None = None

    @property
    def is_to_come(self) -> bool:
        return self._at is not None

    def after(self, failure: Failure) -> None:
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_RETRY)
        if isinstance(failure, Wait) and failure.after is not None:
            pause = failure.after
        # Jitter, so that services that failed together do not come back together.
        pause *= random.uniform(0.9, 1.1)  # noqa: S311
        self._at = asyncio.get_running_loop().call_later(pause, self._its_time_has_come)

    def cancel(self) -> None:
        if self._at is not None:
            self._at.cancel()
            self._at = None

    def start_over(self) -> None:
        """What fails next is tried again soon."""
        self._pause = FIRST_RETRY

    def _its_time_has_come(self) -> None:
        self._at = None
        self._again()
