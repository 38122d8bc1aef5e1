"""Whether a release that has just taken the traffic is clearly worse than the one before it.

A pure rule over counted answers, so that it can be printed in the docs and argued about. It needs a few
failures before it says anything: one bad answer is no verdict.
"""

from dataclasses import dataclass

FAILURES_NEEDED = 5
SHARE_ALLOWED = 0.05
TIMES_AS_BAD = 2.0


@dataclass(frozen=True, slots=True)
class Answers:
    total: int = 0
    failed: int = 0
    """Those with a status of 500 or more."""

    @property
    def share(self) -> float:
        return self.failed / self.total if self.total else 0.0

    def __add__(self, other: "Answers") -> "Answers":
        return Answers(self.total + other.total, self.failed + other.failed)


def clearly_worse(new: Answers, old: Answers) -> bool:
    """At least a few failures, and a share beyond what chance and the old release's own share explain."""
    return new.failed >= FAILURES_NEEDED and new.share > SHARE_ALLOWED + TIMES_AS_BAD * old.share
