"""How much one revision may take away without anybody having said that it is meant.

A listing that is empty, or nearly so, is more often a mistake (a folder that was moved, a filter that went wrong) than
a wish. Then everything stays as it is, and the sync says what to write where it was one.
"""

from collections.abc import Collection
from itertools import islice
from math import ceil
from typing import Final

from reconciler.control.wanted import Reading
from reconciler.model.failure import Reason, Stalled
from reconciler.model.names import ServiceName

MANY: Final = 10
"""Of fewer services, most are soon gone."""
MOST: Final = 0.9


def check_losses(reading: Reading, running: Collection[ServiceName]) -> None:
    """Raises `Stalled`."""
    if not running:
        return
    if not reading.wishes:
        if not reading.prune.allow_empty:
            raise _refused(f"this revision holds no services although {len(running)} run", "allow_empty")
        return
    # Of thousands that stay, the first hundreds tell.
    enough = len(running) - ceil(MOST * len(running)) + 1
    stay = islice((name for name in running if name in reading.wishes), enough)
    if len(running) < MANY or reading.prune.allow_most or sum(1 for _ in stay) == enough:
        return
    gone = sum(name not in reading.wishes for name in running)
    raise _refused(f"this revision takes away {gone} of {len(running)} services", "allow_most")


def _refused(what: str, field: str) -> Stalled:
    return Stalled(Reason.SOURCE_UNAVAILABLE, f"{what}; set `prune: {{{field}: true}}` if that is meant")
