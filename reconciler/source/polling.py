"""When to look at the source again.

Pure: the moment and the randomness are handed in. Jitter keeps many servers from asking one forge in the
same second; back-off keeps one server from hammering a forge that is down, and ends within five minutes
of its return.
"""

from collections.abc import Callable

JITTER = 0.1
FIRST_RETRY = 1.0
LONGEST_RETRY = 300.0
RETRY_IN_INTERVALS = 5
"""A short poll interval says that the operator wants to know soon; back-off respects that."""


def next_poll(
    now: float,
    interval: float,
    *,
    failures: int = 0,
    after: float | None = None,
    random: Callable[[], float],
) -> float:
    """The moment of the next poll: `interval` away when all is well, backing off after `failures` in a row.

    `after` is what the source itself asked for; it is never undercut. `random` gives a number in [0, 1).
    """
    wait = interval if failures == 0 else _back_off(interval, failures)
    jittered = wait * (1 - JITTER + 2 * JITTER * random())
    return now + max(jittered, after or 0.0)


def _back_off(interval: float, failures: int) -> float:
    ceiling = min(LONGEST_RETRY, RETRY_IN_INTERVALS * interval)
    doubled = FIRST_RETRY * 2.0 ** min(failures - 1, 20)
    return min(doubled, ceiling)
