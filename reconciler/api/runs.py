"""The runs of cron jobs: what became of them, and one more by hand."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query

from reconciler.api.access import scope
from reconciler.api.actions import MayDeploy
from reconciler.api.asked import Asked, Name, no_service, refusals
from reconciler.api.pages import After, Limit, Page, page_of_newest
from reconciler.api.problems import described
from reconciler.model.status import RunStatus

router = APIRouter(tags=["cron"])
MAY_READ = [Depends(scope("read"))]

Job = Annotated[str, Path(max_length=63, description="A job's name.", examples=["nightly"])]
Run = Annotated[str, Path(max_length=128, description="A run's id.", examples=["tasks.nightly.20260301T0100Z"])]


@router.get("/v1/services/{name}/runs", dependencies=MAY_READ, responses=described(404))
async def list_runs(
    platform: Asked,
    name: Name,
    job: Annotated[str | None, Query(max_length=63, description="Only this job's.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[RunStatus]:
    """The newest first. Those of jobs and services that are gone stay."""
    found, total = await platform.runs(name, job, limit + 1, after)
    if not total and platform.service(name) is None:
        raise no_service(name)
    return page_of_newest(found, total, limit)


@router.get("/v1/services/{name}/runs/{run}", dependencies=MAY_READ, responses=described(404))
async def get_run(platform: Asked, name: Name, run: Run) -> RunStatus:
    """One run of a job, and what became of it."""
    found = await platform.run(name, run)
    if found is None:
        raise HTTPException(404, f"{name} has no run {run}")
    return found


@router.post("/v1/services/{name}/cron/{job}/run", status_code=202, responses=described(404, 409))
async def run_job(platform: Asked, name: Name, job: Job, caller: MayDeploy) -> RunStatus:
    """Begin a run beside the job's times; ask for it by its id to learn what became of it."""
    with refusals():
        return await platform.actions.run(name, job, caller.name)
