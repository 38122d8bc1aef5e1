"""Whether the control plane lives, and whether it has done its first work. Open to everybody."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from reconciler.api.asked import Asked

router = APIRouter(tags=["probes"])


class Health(BaseModel):
    alive: bool


class Readiness(BaseModel):
    ready: bool


@router.get("/healthz")
async def get_health() -> Health:
    """The control plane answers."""
    return Health(alive=True)


@router.get("/readyz", responses={503: {"model": Readiness, "description": "The first sync is not finished."}})
async def get_readiness(platform: Asked, response: Response) -> Readiness:
    """The first sync has finished."""
    if not platform.ready():
        response.status_code = 503
        response.headers["Retry-After"] = "1"
    return Readiness(ready=platform.ready())
