"""What a long step says while it works: one line per phase.

A step is handed something to call; who listens (the terminal, the journal, the dashboard, a pusher's
terminal) is none of its business.
"""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str], None]


def silent(_line: str) -> None:
    """For whoever does not want to hear."""
