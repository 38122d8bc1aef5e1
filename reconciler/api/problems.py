"""Errors as RFC 9457 problem documents, in one shape for all of them."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from reconciler.store.unusable import StoreUnusable

MEDIA_TYPE = "application/problem+json"
PATIENCE = 30
"""Seconds after which a journal that cannot be used may be asked again."""

log = logging.getLogger(__name__)


class Fault(BaseModel):
    where: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    errors: list[Fault] = []


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def problem(
    status: int, detail: str | None = None, headers: Mapping[str, str] | None = None, errors: list[Fault] | None = None
) -> ProblemResponse:
    document = ProblemDocument(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or [])
    return ProblemResponse(document.model_dump(exclude_defaults=True), status, headers=dict(headers or {}))


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says about an endpoint's refusals."""
    reference = {"$ref": "#/components/schemas/ProblemDocument"}
    content = {MEDIA_TYPE: {"schema": reference}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def answer_with_problems(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> ProblemResponse:
        phrase = HTTPStatus(error.status_code).phrase
        headers = error.headers
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {"Allow": ", ".join(_methods_of(routers, request.scope))}
        return problem(error.status_code, None if error.detail == phrase else str(error.detail), headers)

    @app.exception_handler(StoreUnusable)
    async def unwritten(_: Request, error: StoreUnusable) -> ProblemResponse:
        log.warning("the journal could not be asked", extra={"trouble": error.message})
        return problem(503, str(error), {"Retry-After": str(PATIENCE)})

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> ProblemResponse:
        # Without the input: it may hold what should not be repeated.
        faults = [Fault(where=".".join(map(str, each["loc"])), message=each["msg"]) for each in error.errors()]
        detail = "; ".join(f"{_named(fault.where)}: {fault.message}" for fault in faults)
        return problem(422, detail, errors=faults)


def _named(where: str) -> str:
    """What it is called by whoever asks: not whether that is a part of the path, the query or the body."""
    place, _, name = where.partition(".")
    return name or place


def _methods_of(routers: Sequence[APIRouter], scope: Scope) -> list[str]:
    """All that may be asked of a path. Each route knows its own only; where two fit, the one that names it counts."""
    every = (route for router in routers for route in router.routes if isinstance(route, APIRoute))
    found = [route for route in every if route.matches(scope)[0] is not Match.NONE]
    fewest = min((len(route.param_convertors) for route in found), default=0)
    best = [route for route in found if len(route.param_convertors) == fewest]
    return sorted({method for route in best for method in route.methods or ()})
