"""Lists in pieces: `limit` says how many, `after` goes on where the last piece ended."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from reconciler.model.access_status import AuditStatus
from reconciler.model.status import ReleaseStatus, RunStatus, SyncStatus

T = TypeVar("T")
Newest = TypeVar("Newest", SyncStatus, ReleaseStatus, RunStatus, AuditStatus)

Limit = Annotated[int, Query(ge=1, le=500, description="At most this many.")]
After = Annotated[
    str | None,
    Query(
        max_length=128, pattern=r"^[A-Za-z0-9._:-]+$", description="Go on after this one: `next` of the page before."
    ),
]
Older = Annotated[
    str | None,
    Query(max_length=18, pattern=r"^[0-9]+$", description="Go on after this one: `next` of the page before."),
]
"""Of a list whose items are numbered."""


class Page(BaseModel, Generic[T]):
    items: list[T]
    total: int
    next: str | None
    """Give it as `after` to go on; null at the end."""


def page_by_name(names: Sequence[str], limit: int, after: str | None, tell: Callable[[str], T | None]) -> Page[T]:
    """A piece of a list in name order; `after` need not exist any more. Only what is shown is told."""
    start = bisect_right(names, after) if after is not None else 0
    shown = names[start : start + limit]
    more = start + limit < len(names)
    items = [item for item in map(tell, shown) if item is not None]
    return Page(items=items, total=len(names), next=shown[-1] if more and shown else None)


def page_of_newest(items: Sequence[Newest], total: int, limit: int) -> Page[Newest]:
    """A piece of a list that is newest first, of which one more than the limit was fetched."""
    shown = list(items[:limit])
    return Page(items=shown, total=total, next=shown[-1].id if len(items) > limit else None)
