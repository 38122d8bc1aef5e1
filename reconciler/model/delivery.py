"""How well a service is delivered, from the releases of some time: how often, how fast, how safely.

The four figures that DORA made known. Pure; what cannot be said from what is there is None, and never zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One release, as far as this counts."""

    begun_at: datetime
    committed_at: datetime | None
    live_at: datetime | None
    failed_at: datetime | None
    """When it was refused, or gave the traffic back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    deploys: int
    """Releases that took the traffic."""
    attempts: int
    lead_time: float | None
    """From the commit until it was live, in seconds; the median."""
    failure_share: float | None
    """Of all attempts, those that were refused or gave the traffic back."""
    time_to_restore: float | None
    """From a failure until the next release was live and stayed, in seconds; the median."""


def delivery(releases: Sequence[Delivered]) -> Delivery:
    """`releases` in the order in which they were begun."""
    live = [one for one in releases if one.live_at is not None]
    failed = [one for one in releases if one.failed_at is not None]
    settled = [one for one in releases if one.live_at is not None or one.failed_at is not None]
    return Delivery(
        deploys=len(live),
        attempts=len(releases),
        lead_time=_median([_lead(one) for one in live]),
        failure_share=len(failed) / len(settled) if settled else None,
        time_to_restore=_median(_restored(releases)),
    )


def _lead(one: Delivered) -> float | None:
    """A commit may be older than the service's wish to have it, and a clock may be wrong: never less than nothing."""
    if one.live_at is None or one.committed_at is None:
        return None
    return max(0.0, (one.live_at - one.committed_at).total_seconds())


def _restored(releases: Sequence[Delivered]) -> list[float | None]:
    """The first failure of a row of them counts, until something good is live again."""
    took: list[float | None] = []
    broken_since: datetime | None = None
    for one in releases:
        if one.failed_at is not None:
            broken_since = broken_since or one.failed_at
        elif one.live_at is not None and broken_since is not None:
            took.append(max(0.0, (one.live_at - broken_since).total_seconds()))
            broken_since = None
    return took


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
