"""What a person asks of one service. Asking twice is asking once, and the answer says whether anything changed."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from reconciler.api.access import scope
from reconciler.api.asked import Asked, Name, refusals
from reconciler.api.problems import described
from reconciler.api.reports import SuiteReport
from reconciler.model.access import Caller
from reconciler.model.status import ActionTaken

router = APIRouter(tags=["actions"], responses=described(404, 409))
MayDeploy = Annotated[Caller, Depends(scope("deploy"))]


class Rollback(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: str | None = Field(None, max_length=100, description="A release, `tasks-7`; default: the one before.")


THE_ONE_BEFORE = Rollback(to=None)


@router.post("/v1/services/{name}/rollback")
async def rollback(platform: Asked, name: Name, caller: MayDeploy, wish: Rollback = THE_ONE_BEFORE) -> ActionTaken:
    """Give the traffic to an earlier release, and hold it there until there is a new digest, or `resume`."""
    with refusals():
        return await platform.actions.rollback(name, wish.to, caller.name)


@router.post("/v1/services/{name}/suspend")
async def suspend(platform: Asked, name: Name, caller: MayDeploy) -> ActionTaken:
    """Let syncs pass it by, whatever git says, until `resume`. What serves goes on."""
    with refusals():
        return await platform.actions.suspend(name, caller.name)


@router.post("/v1/services/{name}/resume")
async def resume(platform: Asked, name: Name, caller: MayDeploy) -> ActionTaken:
    """End a suspension and a rollback's hold, and ask for a sync."""
    with refusals():
        return await platform.actions.resume(name, caller.name)


@router.post("/v1/services/{name}/restart")
async def restart(platform: Asked, name: Name, caller: MayDeploy) -> ActionTaken:
    """New workers of the same release, which take over without losing a request."""
    with refusals():
        return await platform.actions.restart(name, caller.name)


@router.post("/v1/services/{name}/test")
async def play_suite(platform: Asked, name: Name, _caller: MayDeploy) -> SuiteReport:
    """Play the suite against the live release, and say what it concluded. Changes nothing for anyone."""
    with refusals():
        return SuiteReport.of(await platform.actions.test(name))
