"""What every part of the gateway works with, and how much it may hold."""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.gateway.aside import Aside
from reconciler.gateway.counts import Counts
from reconciler.gateway.loop import Loop
from reconciler.gateway.patience import Patience


@dataclass(frozen=True, slots=True)
class Means:
    loop: Loop
    patience: Patience
    counts: Counts
    aside: Aside
    has_room: Callable[[], bool]
    """For a connection that comes back: unlike a new one, it could not wait in the kernel."""
    queue: int
    """About so many connections may wait for one worker."""
    port: int | None
    """Where the connections are accepted, unless that is a Unix socket."""
