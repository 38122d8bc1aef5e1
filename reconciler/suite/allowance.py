"""What a suite may still spend, in seconds and in requests."""

from reconciler.model.suite.case import Budget
from reconciler.suite.exchange import Clock

TEARDOWN_SHARE = 0.25
TEARDOWN_LEAST = 2.0


class Spent(Exception):
    """The budget is used up; the sentence says which."""


class Allowance:
    def __init__(self, budget: Budget, clock: Clock) -> None:
        self.budget = budget
        self._clock = clock
        self._started = clock()
        self.requests = 0

    @property
    def seconds(self) -> float:
        return self._clock() - self._started

    @property
    def left(self) -> float:
        return self.budget.total - self.seconds

    def take(self) -> float:
        """Pay for one request; the seconds it may take."""
        if self.left <= 0:
            raise Spent(f"its budget of {self.budget.total:g} s is spent")
        if self.requests >= self.budget.requests:
            raise Spent(f"its budget of {self.budget.requests} requests is spent")
        self.requests += 1
        return min(self.budget.request, self.left)


def for_teardown(budget: Budget, clock: Clock) -> Allowance:
    """Cleaning up is paid apart, so that a suite that spent everything still cleans up."""
    seconds = max(budget.total * TEARDOWN_SHARE, min(TEARDOWN_LEAST, budget.total))
    return Allowance(Budget(seconds, budget.requests, min(budget.request, seconds)), clock)


def for_replay(budget: Budget, left: float, clock: Clock) -> Allowance:
    """Playing again is paid from the same seconds: a suite never takes longer than it says."""
    return Allowance(Budget(max(left, 0.0), budget.requests, budget.request), clock)
