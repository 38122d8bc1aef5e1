"""What happens, as it happens: server-sent events that go on where they were left.

Every event has a number; a reader that comes back says the last one it saw (`Last-Event-ID`, or `after`) and misses
nothing that is still kept. A reader that is too slow is caught up from the journal, and costs nobody memory.
Progress (`progress=true`) only passes by: it has no number, and is not told again.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import asdict, dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from reconciler.api.access import scope
from reconciler.api.asked import Asked
from reconciler.api.followers import Followers
from reconciler.api.pages import Page
from reconciler.api.platform import Feed, History
from reconciler.model.access import Caller
from reconciler.model.notice import Notice
from reconciler.model.status import EventStatus

router = APIRouter(tags=["events"])

SSE = "text/event-stream"
BATCH = 200
HEARTBEAT = 15.0
MOST_LISTENERS = 512
"""Each costs a connection and a bounded queue, and no files: a hundred open dashboards are nothing unusual."""
RETRY = 2_000
"""Milliseconds after which a browser comes back."""

Number = Annotated[int | None, Query(ge=0, le=1 << 53, description="Go on after this event.")]


@dataclass(frozen=True, slots=True)
class Wanted:
    service: str | None
    progress: bool
    caller: Caller

    def takes(self, service: str | None) -> bool:
        if self.service is not None and service != self.service:
            return False
        return self.caller.services is None or (service is not None and self.caller.may_touch(service))


@router.get(
    "/v1/events",
    response_class=Response,
    responses={200: {"description": "Server-sent events.", "content": {SSE: {"schema": {"type": "string"}}}}},
)
async def stream_events(
    asked: Request,
    platform: Asked,
    caller: Annotated[Caller, Depends(scope("read", listing=True))],
    after: Number = None,
    service: Annotated[str | None, Query(max_length=63, description="Only this one's.")] = None,
    progress: Annotated[bool, Query(description="Also what is being done, which is not kept.")] = False,
    last_event_id: Annotated[
        str | None, Header(max_length=20, pattern=r"^[0-9]*$", description="The last event that was seen.")
    ] = None,
) -> StreamingResponse:
    """Every event from now on, or from after the last one that the reader saw."""
    listeners: Followers = asked.app.state.listeners
    seen = int(last_event_id) if last_event_id else after
    told = listeners.admit(asked, _told(platform.history, Wanted(service, progress, caller), seen))
    return StreamingResponse(told, media_type=SSE, headers={"X-Accel-Buffering": "no"})


@router.get("/v1/events/newest")
async def list_events(
    platform: Asked,
    caller: Annotated[Caller, Depends(scope("read", listing=True))],
    limit: Annotated[int, Query(ge=1, le=500, description="At most this many, the newest.")] = 50,
    service: Annotated[str | None, Query(max_length=63, description="Only this one's.")] = None,
) -> Page[EventStatus]:
    """The last events as a list, the oldest of them first."""
    found = await platform.history.last_events(limit, service)
    items = [event for event in found if Wanted(service, False, caller).takes(event.service)]
    return Page(items=items, total=len(items), next=None)


async def _told(history: History, wanted: Wanted, seen: int | None) -> AsyncGenerator[bytes, None]:
    with history.listen() as feed:
        newest = await _newest(history)
        # A reader may come from another history: what it saw there was not this server's, and is no reason for silence.
        reader = _Reader(history, wanted, min(seen, newest) if seen is not None else newest)
        yield f"retry: {RETRY}\n\n".encode()
        async for piece in reader.catch_up():
            yield piece
        while True:
            notice = await _next(feed)
            if feed.missed:
                feed.missed = 0
                async for piece in reader.catch_up():
                    yield piece
            if piece := reader.hear(notice):
                yield piece


@dataclass(slots=True)
class _Reader:
    history: History
    wanted: Wanted
    seen: int
    """The number of the last event it was told, or that was not for it."""

    async def catch_up(self) -> AsyncIterator[bytes]:
        """What happened since, as far as it is kept."""
        while events := await self.history.events(self.seen, self.wanted.service, BATCH):
            self.seen = events[-1].id
            yield b"".join(_as_sse(event, event.id) for event in events if self.wanted.takes(event.service))

    def hear(self, notice: Notice | None) -> bytes:
        if notice is None:
            return b": nothing new\n\n"
        if notice.id is None:
            is_meant = self.wanted.progress and self.wanted.takes(notice.service)
            return _as_sse(_passing(notice), None) if is_meant else b""
        # What was written while the journal was read is told from there, and heard again here.
        is_new, self.seen = notice.id > self.seen, max(self.seen, notice.id)
        return _as_sse(_event(notice), notice.id) if is_new and self.wanted.takes(notice.service) else b""


async def _newest(history: History) -> int:
    newest = await history.last_events(1, None)
    return newest[-1].id if newest else 0


async def _next(feed: Feed) -> Notice | None:
    """None when nothing happened for a while."""
    try:
        async with asyncio.timeout(HEARTBEAT):
            return await anext(feed)
    except TimeoutError:
        return None


def _as_sse(event: EventStatus | dict[str, object], number: int | None) -> bytes:
    """JSON keeps to one line, whatever a message holds."""
    told = event.model_dump(mode="json") if isinstance(event, EventStatus) else event
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {told['kind']}\ndata: {json.dumps(told, ensure_ascii=False)}\n\n".encode(errors="replace")


def _event(notice: Notice) -> EventStatus:
    return EventStatus(**{**asdict(notice), "id": notice.id or 0})


def _passing(notice: Notice) -> dict[str, object]:
    return _event(notice).model_dump(mode="json", exclude={"id"})
