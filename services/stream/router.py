"""Sends answers that do not end at once: a table row by row, and a countdown as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

router = APIRouter()


@router.get("/squares.csv")
def squares(rows: Annotated[int, Query(ge=1, le=1_000_000)] = 1000) -> StreamingResponse:
    return StreamingResponse(_squares(rows), media_type="text/csv")


@router.get("/countdown")
def countdown(
    start: Annotated[int, Query(ge=0, le=3600)] = 10,
    every: Annotated[float, Query(gt=0, le=60)] = 1.0,
    last_event_id: Annotated[int | None, Header(ge=0)] = None,
) -> StreamingResponse:
    """Count down from `start`; a client that comes back continues below the last number it saw."""
    first = start if last_event_id is None else last_event_id - 1
    return StreamingResponse(
        _countdown(first, every), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def _squares(rows: int) -> AsyncIterator[str]:
    yield "n,square\n"
    for n in range(1, rows + 1):
        yield f"{n},{n * n}\n"


async def _countdown(first: int, every: float) -> AsyncIterator[str]:
    for number in range(first, -1, -1):
        yield f"id: {number}\nevent: {'tick' if number else 'liftoff'}\ndata: {number}\n\n"
        if number:
            await asyncio.sleep(every)
