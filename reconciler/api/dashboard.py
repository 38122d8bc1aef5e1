"""The dashboard: pages for people, at the same place as the API and with the same rights.

A page shows what its reader's token may read. Whoever is not signed in is led to the door. Nothing on a page may come
from another host or be written into it as a script: the policy says so, and the browser holds it.
"""

from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute

from reconciler.api.access import scope
from reconciler.api.asked import Asked, Name, Release, no_service, refusals
from reconciler.api.pages import Older, page_of_newest
from reconciler.api.platform import Platform
from reconciler.dashboard.assets import SERVED
from reconciler.dashboard.listing import listing
from reconciler.dashboard.page import render
from reconciler.dashboard.progress import UNDER_WAY, Progress, progress
from reconciler.dashboard.standing import Look, standing, worth_telling
from reconciler.model.access import Caller
from reconciler.model.status import EventStatus, ServiceStatus
from reconciler.store.unusable import StoreUnusable

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# `no-referrer` would make the browser hide the origin of its own forms, which is what proves that they are ours.
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
FOR_EVER = "public, max-age=31536000, immutable"
SHOWN = 20
EVENTS = 200


class PageRoute(APIRoute):
    """Refusals as people meet them: the door, or a page that says what is the matter."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except HTTPException as refused:
                if refused.status_code == HTTPStatus.UNAUTHORIZED:
                    return RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
                return _trouble(refused.status_code, str(refused.detail))
            except StoreUnusable as unusable:
                return _trouble(HTTPStatus.SERVICE_UNAVAILABLE, str(unusable))
            except RequestValidationError:
                return _trouble(HTTPStatus.UNPROCESSABLE_ENTITY, "The address of this page does not make sense.")

        return answer


router = APIRouter(include_in_schema=False, route_class=PageRoute)
Reader = Annotated[Caller, Depends(scope("read"))]
Partial = Annotated[Caller, Depends(scope("read", listing=True))]
"""Also somebody whose token is for some services only."""


@router.get("/")
async def services(
    platform: Asked,
    caller: Partial,
    q: Annotated[str, Query(max_length=100)] = "",
    look: Annotated[str, Query(max_length=20)] = "",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> HTMLResponse:
    found = _seen_by(caller, platform.services())
    events = await platform.history.last_events(EVENTS, None)

    def page_at(number: int) -> str:
        return "/?" + urlencode({name: value for name, value in (("q", q), ("look", look), ("page", number)) if value})

    return _page(
        "services.html",
        events,
        caller,
        here="Services",
        status=platform.status() if caller.services is None else None,
        listed=listing(found, q, look, page),
        under_way=await _under_way(platform, found, events) if caller.services is None else None,
        text=q,
        wanted=look if look in Look.__members__ else "",
        page_at=page_at,
    )


@router.get("/services/{name}")
async def service(platform: Asked, caller: Reader, name: Name) -> HTMLResponse:
    found = platform.service(name)
    if found is None:
        raise no_service(name)
    releases, _ = await platform.history.releases(name, SHOWN, None)
    own = await platform.history.last_events(SHOWN, name)
    return _page(
        "service.html",
        await platform.history.last_events(1, None),
        caller,
        here="Services",
        service=found,
        standing=standing(found),
        told_conditions=worth_telling(found.conditions),
        releases=releases,
        report=await platform.suite(name),
        delivery=await platform.history.delivery(name),
        told=own[::-1],
        own=f"/v1/services/{name}",
    )


@router.get("/services/{name}/compare")
async def compare(
    platform: Asked,
    caller: Reader,
    name: Name,
    before: Annotated[str, Query(max_length=100)],
    after: Annotated[str, Query(max_length=100)],
) -> HTMLResponse:
    if platform.service(name) is None:
        raise no_service(name)
    with refusals():
        both = await platform.history.compare(name, before, after)
    releases, _ = await platform.history.releases(name, 100, None)
    newest = await platform.history.last_events(1, None)
    return _page("compare.html", newest, caller, here="Services", name=name, both=both, releases=releases)


@router.get("/syncs")
async def syncs(platform: Asked, caller: Reader, after: Older = None) -> HTMLResponse:
    shown = page_of_newest(*await platform.history.syncs(51, after), 50)
    newest = await platform.history.last_events(1, None)
    return _page("syncs.html", newest, caller, here="Syncs", syncs=shown.items, total=shown.total, next=shown.next)


@router.get("/syncs/{sync}")
async def one_sync(platform: Asked, caller: Reader, sync: Release) -> HTMLResponse:
    found = await platform.history.sync(sync)
    if found is None:
        raise HTTPException(404, f"there is no sync {sync}")
    return _page("sync.html", await platform.history.last_events(1, None), caller, here="Syncs", sync=found)


@router.get("/events")
async def events(platform: Asked, caller: Partial) -> HTMLResponse:
    found = await platform.history.last_events(EVENTS, None)
    if caller.services is not None:
        found = [event for event in found if event.service is not None and caller.may_touch(event.service)]
    return _page("events.html", found, caller, here="Events", told=found[::-1])


@router.get("/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    """Open to everybody: the door is drawn with them, and they are the same on every server of this version."""
    found = SERVED.get(f"/assets/{name}")
    if found is None:
        raise HTTPException(404, "there is no such file")
    headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(found.plain, media_type=found.media_type, headers=headers)
    return Response(found.compressed, media_type=found.media_type, headers={**headers, "Content-Encoding": "gzip"})


def _page(template: str, events: Sequence[EventStatus], caller: Caller, **facts: Any) -> HTMLResponse:
    seen = events[-1].id if events else 0
    return HTMLResponse(render(template, seen=seen, may_deploy=caller.may("deploy"), **facts), headers=HEADERS)


def _trouble(status: int, detail: str) -> HTMLResponse:
    told = render("trouble.html", title=HTTPStatus(status).phrase, detail=f"{detail[:1].upper()}{detail[1:]}")
    return HTMLResponse(told, status, headers=HEADERS)


def _seen_by(caller: Caller, every: Sequence[ServiceStatus]) -> list[ServiceStatus]:
    return [each for each in every if caller.services is None or caller.may_touch(each.name)]


async def _under_way(
    platform: Platform, found: Sequence[ServiceStatus], events: Sequence[EventStatus]
) -> Progress | None:
    newest, _ = await platform.history.syncs(1, None)
    if not newest or newest[0].state not in UNDER_WAY:
        return None
    return progress(newest[0], found, events)
