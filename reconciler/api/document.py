"""The control plane's own OpenAPI document: what FastAPI finds out by itself, and what it cannot know.

Added are the refusals that come before an endpoint is reached, who may ask, names of answers (`ETag`), examples, and
what stands below the fields of models. An operation's id is the name of its function: clients are generated from
it, so it is a promise. Refuses to describe anything that is not a rule for all endpoints; that stands with them.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from reconciler.api.etags import NAMED
from reconciler.api.examples import EXAMPLES
from reconciler.api.problems import ProblemDocument, described
from reconciler.api.wording import wording

DESCRIPTION = """The control plane: status, logs and actions.

Lists answer `items`, `total` and `next`; give `next` as `after` to go on. Errors are problem documents (RFC 9457). JSON
answers have an `ETag`: send it back as `If-None-Match`, and what has not changed is answered with 304. `x-scope` says
which scope of a token an operation needs; one for some services only reaches operations that name one of them.
"""
TAGS = {
    "platform": "The platform as a whole: its status, its syncs, its next plan.",
    "services": "The services: their status, their releases, their suites.",
    "logs": "What services said.",
    "actions": "What a person asks of one service.",
    "cron": "The runs of cron jobs.",
    "events": "What happened, and what happens.",
    "secrets": "The encrypted store. Values go in and never come out.",
    "access": "Access tokens, and the log of what was changed with them.",
    "webhooks": "What forges say, and what became of it.",
    "git": "The push remote, in git's own protocol: refusals are plain text, which is what git shows.",
    "metrics": "What is counted.",
    "probes": "Whether the server lives, and has done its first work.",
}
GIT = {"type": "http", "scheme": "basic", "description": "The token is the password, of any user name."}
KNOWN = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of an answer that is known.",
    "schema": {"type": "string", "examples": ['"5f0c2b6d9a3e4c718f5d2a6b0c9e1d34"']},
}
ETAG = {"description": "Names this answer; equal answers have equal names.", "schema": {"type": "string"}}


def operation_id(route: APIRoute) -> str:
    return route.name


def publish(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Let the application tell the whole document."""
    generate = app.openapi
    every = chain.from_iterable(router.routes for router in routers)
    routes = [route for route in every if isinstance(route, APIRoute) and route.include_in_schema]

    @cache
    def openapi() -> dict[str, Any]:
        document = generate()
        document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
        for route in routes:
            for method in route.methods or ():
                _complete(document["paths"][route.path_format][method.lower()], route)
        _complete_components(document["components"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(operation: dict[str, Any], route: APIRoute) -> None:
    operation["summary"] = operation["summary"].capitalize()
    scope = _scope_of(route.dependant)
    if scope is not None:
        operation["x-scope"] = scope
        operation["security"] = [{"git" if "git" in operation["tags"] else "token": []}]
    told = operation["responses"]
    told.pop("422", None)
    for status, answer in described(*_refusals(operation, scope is not None)).items():
        told.setdefault(str(status), answer)
    if route.methods == {"GET"} and NAMED in told.get("200", {}).get("content", {}):
        told["200"]["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
        told["304"] = {"description": "Not Modified: the answer that is known."}
        operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IfNoneMatch"})
    operation["responses"] = dict(sorted(told.items()))


def _refusals(operation: Mapping[str, Any], is_guarded: bool) -> Iterator[int]:
    """What may be said before the endpoint itself has a say."""
    yield from (421, 500, 503)
    if is_guarded:
        yield from (401, 403, 429)
    if "requestBody" in operation:
        yield from (400, 413)
    if "requestBody" in operation or operation.get("parameters"):
        yield 422


def _complete_components(components: dict[str, Any]) -> None:
    schemas = components["schemas"]
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), ProblemDocument=problem)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for (name, field), text in wording().items():
        if field in (properties := schemas.get(name, {}).get("properties", {})):
            properties[field].setdefault("description", text)
    for name, schema in schemas.items():
        if (example := _example(name)) is not None:
            schema["examples"] = [example]
    components["securitySchemes"]["git"] = GIT
    components["parameters"] = {"IfNoneMatch": KNOWN}
    components["headers"] = {"ETag": ETAG}


def _example(schema: str) -> Any:
    if schema.startswith("Page_"):
        return {"items": [EXAMPLES[schema[len("Page_") : -1]]], "total": 1, "next": None}
    return EXAMPLES.get(schema)


def _scope_of(dependant: Dependant) -> str | None:
    """What the narrowest of its dependencies asks for."""
    asked = (getattr(each.call, "needed", None) or _scope_of(each) for each in dependant.dependencies)
    return next((needed for needed in reversed([*asked]) if needed is not None), None)
