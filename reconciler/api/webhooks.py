"""Webhooks: let in what is genuine, answer at once, and tell later what became of it.

Open to everybody, so the order matters: is there a secret for this provider, is there anything to check, is the body
small enough while it is still coming in, is it genuine; and only then is a byte of it understood. What is not genuine
leaves no trace but a number per address. Refuses to hold more than a bounded number of bytes in all.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from reconciler.api.access import Failures, scope
from reconciler.api.asked import Asked
from reconciler.api.pages import Limit, Older, Page
from reconciler.api.problems import described
from reconciler.model.status import SyncStatus, WebhookStatus
from reconciler.model.webhook.doors import PROVIDERS, Doors
from reconciler.model.webhook.event import Event
from reconciler.model.webhook.provider import Door
from reconciler.model.webhook.received import Received, Refused, Unauthentic
from reconciler.store.unusable import StoreUnusable

router = APIRouter(tags=["webhooks"])

Name = Annotated[str, Path(max_length=20, description=f"One of {', '.join(PROVIDERS)}.")]
SENT = {"application/json": {"schema": {"type": "object", "description": "As the provider has it."}}}
MOST_IN_HAND = 64 * 1024 * 1024
"""Bytes of bodies that may be held at one time, of all senders together."""
BODY_WITHIN = 10.0
AT_ONCE = 64 * 1024
"""A body up to this size is checked where it stands; a longer one would keep everybody else waiting."""


class Receipt(BaseModel):
    receipt: str | None
    """Ask `/v1/webhooks/{receipt}` what became of it; null for a ping."""
    state: Literal["accepted", "ignored", "pong"]
    reason: str
    repeated: bool
    """It came before; the receipt is the first one's."""


class WebhookTold(WebhookStatus):
    outcome: SyncStatus | None
    """The sync as it stands now."""


def limits(body: int | None) -> dict[str, int]:
    """How large a body may be, by path."""
    return {f"/webhooks/{name}": body or provider.most for name, provider in PROVIDERS.items()}


class Intake:
    """What the endpoints share: the doors, the bytes in hand, and who was wrong of late."""

    def __init__(self, doors: Doors) -> None:
        self.doors = doors
        self.failures = Failures(time.monotonic)
        self._in_hand = 0

    async def read(self, request: Request) -> bytes:
        """The body, which the doorway keeps from growing too large."""
        pieces: list[bytes] = []
        held = 0
        try:
            async with asyncio.timeout(BODY_WITHIN):
                async for piece in request.stream():
                    held += len(piece)
                    self._in_hand += len(piece)
                    if self._in_hand > MOST_IN_HAND:
                        raise HTTPException(503, "too much arrives at the same time", {"Retry-After": "5"})
                    pieces.append(piece)
        except TimeoutError as slow:
            raise HTTPException(408, f"a body has {BODY_WITHIN:.0f} seconds to arrive") from slow
        except ClientDisconnect as gone:
            raise HTTPException(400, "the body did not arrive whole") from gone
        finally:
            self._in_hand -= held
        return b"".join(pieces)

    def refuse(self, error: Refused, request: Request) -> HTTPException:
        if not isinstance(error, Unauthentic):
            return HTTPException(error.status, str(error))
        wait = self.failures.note(request.client.host if request.client else "")
        if wait is None:
            return HTTPException(error.status, str(error))
        return HTTPException(429, "too many webhooks from this address were not genuine", {"Retry-After": str(wait)})


@router.post(
    "/webhooks/{provider}",
    status_code=202,
    responses={
        200: {"model": Receipt, "description": "A ping, or one that came before."},
        **described(400, 401, 404, 408, 413, 429, 503),
    },
    openapi_extra={"requestBody": {"required": True, "content": SENT}},
)
async def receive_webhook(request: Request, platform: Asked, provider: Name, response: Response) -> Receipt:
    """A forge says that something happened. Needs no token: its signature is checked."""
    intake: Intake = request.app.state.intake
    door = intake.doors.get(provider)
    if provider not in PROVIDERS:
        raise HTTPException(404, f"there is no provider of this name; there are {', '.join(PROVIDERS)}")
    if door is None:
        variable = f"RECONCILER_WEBHOOK_{provider.upper()}_SECRET"
        raise HTTPException(404, f"webhooks of {provider} are off; the operator turns them on with {variable}")
    headers = _headers(request)
    try:
        door.glance(Received(headers=headers))
        body = await intake.read(request)
        event = await _open(door, Received(headers=headers, body=body, at=time.time()))
    except Refused as error:
        platform.webhooks.refused(provider)
        raise intake.refuse(error, request) from error
    try:
        told = await platform.webhooks.take(provider, event, body)
    except StoreUnusable as unusable:
        raise HTTPException(503, str(unusable), {"Retry-After": "30"}) from unusable
    if told.state == "pong" or told.repeats:
        response.status_code = 200
    return Receipt(receipt=told.id, state=told.state, reason=told.reason, repeated=told.repeats > 0)


@router.get("/v1/webhooks", dependencies=[Depends(scope("read"))])
async def list_webhooks(platform: Asked, limit: Limit = 50, after: Older = None) -> Page[WebhookStatus]:
    """Webhooks that were genuine, the newest first, also those that were ignored."""
    items, total = await platform.webhooks.webhooks(limit + 1, after)
    shown = list(items[:limit])
    return Page(items=shown, total=total, next=shown[-1].id if len(items) > limit else None)


@router.get("/v1/webhooks/{receipt}", dependencies=[Depends(scope("read"))], responses=described(404))
async def get_webhook(
    platform: Asked,
    receipt: Annotated[str, Path(max_length=20, description="What the webhook was answered with.", examples=["12"])],
) -> WebhookTold:
    """What became of one webhook: which sync it asked for, and how that ended."""
    told = await platform.webhooks.webhook(receipt)
    if told is None:
        raise HTTPException(404, f"there is no receipt {receipt}")
    outcome = await platform.history.sync(told.sync) if told.sync is not None else None
    return WebhookTold(**told.model_dump(), outcome=outcome)


async def _open(door: Door[object], received: Received) -> Event:
    if len(received.body) <= AT_ONCE:
        return door.open(received)
    return await asyncio.to_thread(door.open, received)


def _headers(request: Request) -> Mapping[str, tuple[str, ...]]:
    named: dict[str, tuple[str, ...]] = {}
    for name, value in request.headers.items():
        named[name] = (*named.get(name, ()), value)
    return named
