"""The services: their status, their releases, their suites."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import JSONResponse

from reconciler.api.access import scope
from reconciler.api.asked import Asked, Name, Release, no_service, refusals
from reconciler.api.pages import After, Limit, Page, page_by_name, page_of_newest
from reconciler.api.problems import described
from reconciler.api.reports import SuiteReport
from reconciler.model.access import Caller
from reconciler.model.status import Comparison, DeliveryStatus, Outline, ReleaseDetail, ReleaseStatus, ServiceStatus

router = APIRouter(tags=["services"])
MAY_READ = [Depends(scope("read"))]


@router.get("/v1/services")
async def list_services(
    platform: Asked,
    caller: Annotated[Caller, Depends(scope("read", listing=True))],
    limit: Limit = 50,
    after: After = None,
    condition: Annotated[
        str | None,
        Query(pattern=r"^[A-Z][A-Za-z]{1,20}(=(True|False|Unknown))?$", description="`Stalled`, or `Ready=False`."),
    ] = None,
    q: Annotated[str | None, Query(max_length=100, description="Part of the name or the description.")] = None,
) -> Page[ServiceStatus]:
    """All services, in name order."""
    found = platform.names()
    if caller.services is not None:
        found = [name for name in found if caller.may_touch(name)]
    if condition is not None or q:
        found = [name for name in found if _is_meant(platform.outline(name), condition, q)]
    return page_by_name(found, limit, after, platform.service)


@router.get("/v1/services/{name}", dependencies=MAY_READ, responses=described(404))
async def get_service(platform: Asked, name: Name) -> ServiceStatus:
    """One service: what is true of it now, and what happened last."""
    found = platform.service(name)
    if found is None:
        raise no_service(name)
    return found


@router.get("/v1/services/{name}/releases", dependencies=MAY_READ, responses=described(404))
async def list_releases(platform: Asked, name: Name, limit: Limit = 50, after: After = None) -> Page[ReleaseStatus]:
    """The newest first."""
    if platform.service(name) is None:
        raise no_service(name)
    return page_of_newest(*await platform.history.releases(name, limit + 1, after), limit)


@router.get("/v1/services/{name}/releases/{release}", dependencies=MAY_READ, responses=described(404))
async def get_release(platform: Asked, name: Name, release: Release) -> ReleaseDetail:
    """One release, with its packages and what was wrong with it."""
    with refusals():
        return await platform.history.release(name, release)


@router.get("/v1/services/{name}/compare/{before}/{after}", dependencies=MAY_READ, responses=described(404))
async def compare_releases(platform: Asked, name: Name, before: Release, after: Release) -> Comparison:
    """What differs between two releases: parts of the digest, commits, packages."""
    with refusals():
        return await platform.history.compare(name, before, after)


@router.get("/v1/services/{name}/delivery", dependencies=MAY_READ, responses=described(404))
async def get_delivery(platform: Asked, name: Name) -> DeliveryStatus:
    """How often, how fast and how safely it is released, over its last hundred releases."""
    if platform.service(name) is None:
        raise no_service(name)
    return await platform.history.delivery(name)


@router.get(
    "/v1/services/{name}/openapi.json",
    dependencies=MAY_READ,
    response_class=JSONResponse,
    responses={
        200: {"description": "Its OpenAPI document.", "content": {"application/json": {"schema": {"type": "object"}}}},
        **described(404),
    },
)
async def get_service_openapi(platform: Asked, name: Name) -> JSONResponse:
    """What the live release says of itself, asked of it now."""
    if platform.service(name) is None:
        raise no_service(name)
    document = await platform.contract(name)
    if document is None:
        raise HTTPException(404, f"{name} has no OpenAPI document, or nobody to ask for it")
    return JSONResponse(document)


@router.get("/v1/services/{name}/suite", dependencies=MAY_READ, responses=described(404))
async def get_suite(platform: Asked, name: Name) -> SuiteReport:
    """What its suite concluded last, in full: about the live release, or a candidate that was thrown away for it."""
    if platform.service(name) is None:
        raise no_service(name)
    told = await platform.suite(name)
    if told is None:
        raise HTTPException(404, f"no suite of {name} was played yet")
    return SuiteReport.of(told)


def _is_meant(service: Outline, condition: str | None, text: str | None) -> bool:
    if condition is not None and not _is(service, condition):
        return False
    return not text or text.casefold() in f"{service.name}\n{service.description}".casefold()


def _is(service: Outline, condition: str) -> bool:
    kind, _, status = condition.partition("=")
    return any(each.type == kind and each.status == (status or "True") for each in service.conditions)
