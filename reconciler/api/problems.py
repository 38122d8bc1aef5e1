"""Errors as RFC 9457 problem documents, in one shape for all of them."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from itertools import chain
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


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


def answer_with_problems(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> ProblemResponse:
        phrase = HTTPStatus(error.status_code).phrase
        return problem(error.status_code, None if error.detail == phrase else str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> ProblemResponse:
        # Without the input: it may hold what should not be repeated.
        faults = [Fault(where=".".join(map(str, each["loc"])), message=each["msg"]) for each in error.errors()]
        detail = "; ".join(f"{fault.where}: {fault.message}" for fault in faults)
        return problem(422, detail, errors=faults)


def publish(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Complete the OpenAPI document: the schema that `described` points at, and which scope each operation needs."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
        components = document.setdefault("components", {}).setdefault("schemas", {})
        components.update(schema.pop("$defs"))
        components["ProblemDocument"] = schema
        for route in chain.from_iterable(router.routes for router in routers):
            if isinstance(route, APIRoute) and route.include_in_schema and (needed := _scope_of(route.dependant)):
                for method in route.methods or ():
                    document["paths"][route.path_format][method.lower()]["x-scope"] = needed
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _scope_of(dependant: Dependant) -> str | None:
    """What the narrowest of its dependencies asks for."""
    asked = (getattr(each.call, "needed", None) or _scope_of(each) for each in dependant.dependencies)
    return next((needed for needed in reversed([*asked]) if needed is not None), None)
