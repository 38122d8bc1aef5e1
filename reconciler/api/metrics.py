"""What is counted, for Prometheus: to whoever may read, or to everybody where the operator opened it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials

from reconciler.api.access import bearer, scope
from reconciler.api.asked import Asked

TEXT = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["platform"])
_may_read = scope("read")


async def may_scrape(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> None:
    if not request.app.state.open_metrics:
        await _may_read(request, credentials)


may_scrape.needed = "read"  # type: ignore[attr-defined]


@router.get(
    "/metrics",
    dependencies=[Depends(may_scrape)],
    response_class=Response,
    responses={200: {"description": "Prometheus's text format.", "content": {TEXT: {"schema": {"type": "string"}}}}},
)
async def get_metrics(platform: Asked) -> Response:
    """All that is counted, in Prometheus's text format. Open to everybody with `--open-metrics`."""
    return Response(await platform.metrics.text(), media_type=TEXT)
