"""What services said, and the platform itself: about whom, when, and how serious it was."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import WithJsonSchema

from reconciler.api.access import scope
from reconciler.api.asked import Asked, Name, no_service
from reconciler.api.followers import Followers
from reconciler.api.problems import described
from reconciler.api.records import BEGINNING, Filter, as_text, follow, newest

router = APIRouter(tags=["logs"], dependencies=[Depends(scope("read"))])

NDJSON = "application/x-ndjson"
TEXT = "text/plain; charset=utf-8"
AGO = re.compile(r"([0-9]{1,9})(s|m|h|d)")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Moment = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "anyOf": [{"pattern": f"^{AGO.pattern}$"}, {"format": "date-time"}], "examples": ["10m"]}
    ),
]
Level = Literal["debug", "info", "warning", "error", "critical"]
Limit = Annotated[int, Query(ge=1, le=10_000, description="At most this many, the newest.")]
Following = Annotated[bool, Query(alias="follow", description="Go on with what comes.")]
Form = Annotated[Literal["ndjson", "text"], Query(alias="format", description="JSON lines, or text for people.")]
RECORDS = {
    "description": "One record per line.",
    "content": {NDJSON: {"schema": {"type": "string"}}, TEXT: {"schema": {"type": "string"}}},
}


async def _wanted(
    request: Annotated[str | None, Query(max_length=200, description="Only this request's records.")] = None,
    release: Annotated[str | None, Query(max_length=100, description="Only this release's records.")] = None,
    level: Annotated[Level | None, Query(description="Only this level, and what is worse.")] = None,
    since: Annotated[
        Moment | None, Query(max_length=40, description="Only newer ones: `10m`, `2h`, or an ISO 8601 moment.")
    ] = None,
    until: Annotated[Moment | None, Query(max_length=40, description="Only older ones, written likewise.")] = None,
) -> Filter:
    return Filter(
        says=_given(request=request, release=release),
        level=level.upper() if level else None,
        since=moment(since, "since") if since else None,
        until=moment(until, "until") if until else None,
    )


Wanted = Annotated[Filter, Depends(_wanted)]


@router.get(
    "/v1/services/{name}/logs",
    response_class=Response,
    responses={200: RECORDS, **described(404)},
)
async def read_logs(
    asked: Request,
    platform: Asked,
    name: Name,
    wanted: Wanted,
    limit: Limit = 1000,
    following: Following = False,
    form: Form = "ndjson",
) -> StreamingResponse:
    """What the service said, the newest last."""
    folder = platform.logs(name)
    if folder is None:
        raise no_service(name)
    return _answer(asked, folder, wanted, limit, following, form)


@router.get("/v1/logs", response_class=Response, responses={200: RECORDS, **described(429)})
async def read_platform_logs(
    asked: Request,
    platform: Asked,
    wanted: Wanted,
    service: Annotated[str | None, Query(max_length=63, description="Only what is about this one.")] = None,
    sync: Annotated[str | None, Query(max_length=100, description="Only what belongs to this sync.")] = None,
    limit: Limit = 1000,
    following: Following = False,
    form: Form = "ndjson",
) -> StreamingResponse:
    """What the platform itself said, control, gateway and supervisor: the newest last."""
    about = replace(wanted, says={**wanted.says, **_given(service=service, sync=sync)})
    return _answer(asked, platform.own_logs(), about, limit, following, form)


def _answer(asked: Request, folder: Path, wanted: Filter, limit: int, following: bool, form: str) -> StreamingResponse:
    if following and wanted.until is not None:
        raise HTTPException(422, "what is followed has no end: `until` and `follow` exclude each other")
    followers: Followers = asked.app.state.followers
    records = followers.admit(asked, follow(folder, wanted, limit)) if following else newest(folder, wanted, limit)
    if form == "text":
        return StreamingResponse(as_text(records), media_type=TEXT)
    return StreamingResponse(records, media_type=NDJSON)


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def moment(text: str, name: str) -> datetime:
    """A moment, or how long ago it was."""
    if match := AGO.fullmatch(text):
        try:
            return datetime.now(UTC) - timedelta(**{UNITS[match[2]]: int(match[1])})
        except OverflowError:
            return BEGINNING
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise HTTPException(422, f"`{name}` is 10m, 2h, 1d or a moment such as 2026-01-31T08:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
