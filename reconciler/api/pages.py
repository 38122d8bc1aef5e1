"""Lists in pieces: `limit` says how many, `after` goes on where the last piece ended."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from reconciler.model.status import AuditStatus, ReleaseStatus, RunStatus, ServiceStatus, SyncStatus

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


def page_of_services(services: Sequence[ServiceStatus], limit: int, after: str | None) -> Page[ServiceStatus]:
    """A piece of a list in name order; `after` need not exist any more."""
    start = bisect_right(services, after, key=lambda service: service.name) if after is not None else 0
    items = list(services[start : start + limit])
    more = start + limit < len(services)
    return Page(items=items, total=len(services), next=items[-1].name if more and items else None)


def page_of_newest(items: Sequence[Newest], total: int, limit: int) -> Page[Newest]:
    """A piece of a list that is newest first, of which one more than the limit was fetched."""
    shown = list(items[:limit])
    return Page(items=shown, total=total, next=shown[-1].id if len(items) > limit else None)
