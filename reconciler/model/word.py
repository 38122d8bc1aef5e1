"""A person's word about one service: it stands beside git until that person, or git, says something new.

Kept in the journal, so that it survives restarts. Decides nothing by itself; the plan obeys it.
"""

from dataclasses import dataclass

from reconciler.model.names import Digest


@dataclass(frozen=True, slots=True)
class Word:
    suspended: str | None = None
    """Who suspended it; None when nobody did."""
    held: str | None = None
    """Who rolled it back, and to what; None when nobody did."""
    held_digest: Digest | None = None
    """What it was rolled back from: this one does not come back by itself."""


SILENT = Word()
