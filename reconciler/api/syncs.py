"""The platform as a whole: its status, its syncs, its next plan."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query
from fastapi.responses import Response, StreamingResponse

from reconciler.api.access import scope
from reconciler.api.asked import Asked
from reconciler.api.pages import Limit, Older, Page, page_of_newest
from reconciler.api.platform import UnknownRevision
from reconciler.api.problems import described
from reconciler.model.access import Caller
from reconciler.model.plan_status import PlanStatus
from reconciler.model.status import PlatformStatus, SyncStatus

router = APIRouter(tags=["platform"], dependencies=[Depends(scope("read"))])

TOLD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "With `tell`: what happens, line by line",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}

Sync = Annotated[str, Path(max_length=100, description="A sync's id.", examples=["41"])]

# Becomes an argument of git further down: never a leading dash, nothing a shell or a pattern would read.
REF = r"^[A-Za-z0-9][A-Za-z0-9._/@~^-]{0,254}$"


@router.get("/v1/status")
async def get_status(platform: Asked) -> PlatformStatus:
    """What is true now of the platform as a whole."""
    return platform.status()


@router.get("/v1/syncs")
async def list_syncs(platform: Asked, limit: Limit = 50, after: Older = None) -> Page[SyncStatus]:
    """The newest first."""
    return page_of_newest(*await platform.history.syncs(limit + 1, after), limit)


@router.get("/v1/syncs/{sync}", responses=described(404))
async def get_sync(platform: Asked, sync: Sync) -> SyncStatus:
    """One pass of the loop, with its actions and the time of each phase."""
    found = await platform.history.sync(sync)
    if found is None:
        raise HTTPException(404, f"there is no sync {sync}")
    return found


@router.post("/v1/sync", status_code=202, response_model=SyncStatus, responses=TOLD)
async def request_sync(
    platform: Asked,
    caller: Annotated[Caller, Depends(scope("deploy"))],
    retry: Annotated[bool, Query(description="Try again what failed and has not changed since.")] = False,
    tell: Annotated[
        Literal["plan", "live"] | None,
        Query(description="Answer with lines of text instead, as it happens, up to there. What a git hook calls."),
    ] = None,
) -> SyncStatus | Response:
    """Look at the repository now. Answers at once; the sync's id tells what became of it."""
    if tell is not None:
        return StreamingResponse(_lines(platform.announce(caller.name, tell)), media_type="text/plain")
    return await platform.request_sync("person", caller.name, retry)


async def _lines(told: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    async with aclosing(told):
        async for line in told:
            yield f"{line}\n"


@router.get("/v1/plan", responses=described(404))
async def get_plan(
    platform: Asked,
    ref: Annotated[
        str | None, Query(pattern=REF, description="A commit or branch; default: the branch followed.")
    ] = None,
    routes: Annotated[
        bool, Query(description="Start what would change, privately, to compare its routes with those that serve.")
    ] = True,
) -> PlanStatus:
    """What the next sync would do, and why. Nothing that serves is touched."""
    try:
        return await platform.plan(ref, routes=routes)
    except UnknownRevision as error:
        raise HTTPException(404, str(error) or f"there is no revision {ref}") from error
