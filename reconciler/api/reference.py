"""One reference for everything that answers here: the control plane and every live service.

The page is drawn by somebody else's program, which lies beside our own files and is loaded by this page alone. The
page's policy lets it ask this server and nobody else.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse

from reconciler.api.access import scope
from reconciler.api.asked import Asked
from reconciler.api.contracts import Contract, merged
from reconciler.api.dashboard import HEADERS, POLICY, PageRoute
from reconciler.api.platform import Platform
from reconciler.dashboard.assets import ASSETS
from reconciler.dashboard.page import render
from reconciler.model.access import Caller
from reconciler.model.status import ServiceStatus

router = APIRouter(tags=["platform"])
pages = APIRouter(include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Caller, Depends(scope("read", listing=True))]

AT_ONCE = 8
# It writes its styles into the page. What a style could give away it has nowhere to send.
LOOSER = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
SCALAR = next(name for name in ASSETS if name.startswith("scalar-"))


@router.get(
    "/v1/openapi.json",
    response_class=JSONResponse,
    responses={
        200: {"description": "One OpenAPI document.", "content": {"application/json": {"schema": {"type": "object"}}}}
    },
)
async def get_openapi(request: Request, platform: Asked, caller: Reader) -> JSONResponse:
    """This API and that of every live service, in one document."""
    services = [each for each in platform.services() if caller.services is None or caller.may_touch(each.name)]
    few = asyncio.Semaphore(AT_ONCE)
    contracts = await asyncio.gather(*(_contract(platform, each, few) for each in services))
    document = await asyncio.to_thread(merged, request.app.openapi(), contracts, request.app.state.services_at)
    return JSONResponse(document)


@pages.get("/docs")
async def reference(_caller: Reader) -> HTMLResponse:
    return HTMLResponse(render("docs.html", scalar=SCALAR), headers={**HEADERS, "Content-Security-Policy": LOOSER})


async def _contract(platform: Platform, service: ServiceStatus, few: asyncio.Semaphore) -> Contract:
    async with few:
        document = await platform.contract(service.name)
    return Contract(service.name, service.path, service.description, document)
