"""A GitHub to talk to: keeps what it is told, and lets nothing pass that the real one would not take.

Every request and every answer is held against GitHub's own description of its API. What that leaves out is here by
hand: lengths, who may write check runs, rate limits, unknown commits. Answers begin as GitHub's published examples.
"""

import copy
import itertools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.listener import listen, url
from tests.forge.contract import operation, operations, resolved
from tests.serving import in_thread

TOKEN = "ghp_" + "a" * 36
INSTALLED = "ghs_" + "b" * 36
LONGEST_DESCRIPTION = 140
LONGEST_COMMENT = 65_536
ANNOTATIONS_AT_ONCE = 50
Body = dict[str, Any]


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class GitHub:
    repository: str = "octo/services"
    may_write_checks: bool = True
    may_see_statuses: bool = True
    """Whether an App has the permission; a token that is not an App's always has."""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    """What was understood and taken, in order: method, path below the repository, body."""
    faults: list[str] = field(default_factory=list)
    """What the real one would not have understood."""
    refusals: list[tuple[int, dict[str, str], Body]] = field(default_factory=list)
    """Answers to the next requests, whatever they ask for."""
    passing: int = 0
    """How many requests are answered well before those."""
    statuses: dict[str, list[Body]] = field(default_factory=dict)
    runs: dict[int, Body] = field(default_factory=dict)
    deployments: dict[int, Body] = field(default_factory=dict)
    """Each with the state that it has now."""
    deployment_states: dict[int, list[Body]] = field(default_factory=dict)
    comments: dict[int, Body] = field(default_factory=dict)
    pulls: dict[str, list[int]] = field(default_factory=dict)
    """Pull requests by the commit that came from them."""

    def __post_init__(self) -> None:
        self.base = ""
        self.key = _key()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @property
    def private_key(self) -> str:
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(*form).decode()

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST", "PATCH"])])

    @contextmanager
    def served(self) -> Iterator["GitHub"]:
        """On a port of this machine."""
        # Its description is long: whoever asks first must not wait until it is read.
        operations()
        with listen("127.0.0.1", 0, "--port") as listener:
            self.base = url("127.0.0.1", listener.getsockname()[1])
            with in_thread(self.app, [listener]):
                yield self

    def latest(self, sha: str) -> dict[str, tuple[str, str]]:
        """The state and description of each context of a commit, as GitHub shows them."""
        return {one["context"]: (one["state"], one["description"]) for one in self.statuses.get(sha, ())}

    def comment(self, number: int, pull: int, text: str) -> Body:
        about = f"https://api.github.com/repos/{self.repository}/issues/{pull}"
        told: Body = self._like("POST", f"/issues/{pull}/comments", 201, id=number, body=text, issue_url=about)
        self.comments[number] = told
        return told

    # Answers

    async def _answer(self, request: Request) -> Response:
        body = await request.json() if await request.body() else None
        path = request.url.path
        with self._lock:
            if self.passing:
                self.passing -= 1
            elif self.refusals:
                status, headers, told = self.refusals.pop(0)
                return JSONResponse(told, status, headers)
            described = operation(request.method, path)
            if described is None:
                return self._fault(404, f"GitHub has no {request.method} {path}")
            if fault := described.check_request(body):
                return self._fault(422, f"{request.method} {path}: {fault}")
            status, told = self._carry_out(request, path, body)
            if fault := described.check_answer(status, told):
                self.faults.append(f"the stand-in itself: {request.method} {path} {status}: {fault}")
            return JSONResponse(told, status)

    def _fault(self, status: int, message: str) -> Response:
        self.faults.append(message)
        return JSONResponse({"message": message}, status)

    def _carry_out(self, request: Request, path: str, body: Any) -> tuple[int, Any]:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        below = path.removeprefix(f"/repos/{self.repository}")
        if path.startswith("/app/") or below == "/installation":
            return self._as_app(token, path, below)
        if token not in (TOKEN, INSTALLED):
            return 401, {"message": "Bad credentials"}
        if below == path:
            return 404, {"message": "Not Found"}
        status, told = self._in_repository(request, below, body, as_app=token == INSTALLED)
        if status < 400 and request.method != "GET":
            self.calls.append((request.method, below, body))
        return status, told

    def _as_app(self, token: str, path: str, below: str) -> tuple[int, Any]:
        try:
            jwt.decode(token, self.key.public_key(), algorithms=["RS256"], options={"require": ["iat", "exp", "iss"]})
        except jwt.InvalidTokenError as error:
            return 401, {"message": f"A JSON web token could not be decoded: {error}"}
        if below == "/installation":
            return 200, _example("GET", f"/repos/{self.repository}/installation", 200, id=7)
        return 201, _example("POST", path, 201, token=INSTALLED)

    def _in_repository(self, request: Request, below: str, body: Any, *, as_app: bool) -> tuple[int, Any]:
        method, parts = request.method, below.strip("/").split("/")
        match (method, *parts):
            case ("POST", "statuses", _) | ("GET", "commits", _, "status") if as_app and not self.may_see_statuses:
                return 403, {"message": "Resource not accessible by integration"}
            case ("POST", "statuses", sha):
                return self._status(sha, body)
            case ("GET", "commits", sha, "status"):
                newest = {one["context"]: one for one in self.statuses.get(sha, ())}
                shown = _page(request, list(newest.values()))
                return 200, self._like(method, below, 200, statuses=shown, total_count=len(newest))
            case ("GET", "commits", sha, "check-runs"):
                runs = list({run["name"]: run for run in self.runs.values() if run["head_sha"] == sha}.values())
                return 200, {"total_count": len(runs), "check_runs": _page(request, runs)}
            case ("GET", "commits", sha, "pulls"):
                (example,) = self._like(method, below, 200)
                return 200, [{**example, "number": number, "requested_teams": []} for number in self.pulls.get(sha, ())]
            case ("POST", "check-runs") | ("PATCH", "check-runs", _):
                return self._check_run(method, below, parts, body, as_app=as_app)
            case ("GET", "deployments"):
                return 200, self._deployments(request)
            case ("GET", "deployments", deployment, "statuses"):
                return 200, _page(request, self.deployment_states.get(int(deployment), [])[::-1])
            case ("POST", "deployments"):
                number = next(self._numbers)
                return 201, self._deploy(method, below, body)
            case ("POST", "deployments", number, "statuses"):
                return self._deployment_status(method, below, int(number), body)
            case ("GET", "issues", pull, "comments"):
                here = [one for one in self.comments.values() if one["issue_url"].endswith(f"/{pull}")]
                return 200, _page(request, here)
            case ("POST", "issues", _, "comments") | ("PATCH", "issues", "comments", _) if (
                len(body["body"]) > LONGEST_COMMENT
            ):
                return 422, {"message": "Validation Failed: body is too long (maximum is 65536 characters)"}
            case ("POST", "issues", pull, "comments"):
                return 201, self.comment(next(self._numbers), int(pull), body["body"])
            case ("PATCH", "issues", "comments", number):
                self.comments[int(number)] |= {"body": body["body"]}
                return 200, self.comments[int(number)]
        return 404, {"message": "Not Found"}

    def _status(self, sha: str, body: Body) -> tuple[int, Any]:
        if not re.fullmatch(r"[0-9a-f]{40}", sha):
            return 422, {"message": f"No commit found for SHA: {sha}"}
        if len(body.get("description") or "") > LONGEST_DESCRIPTION:
            return 422, {"message": "description is too long (maximum is 140 characters)"}
        kept = {"description": None, "target_url": None, **body, "id": next(self._numbers)}
        example = self._like("POST", f"/statuses/{sha}", 201, **kept)
        self.statuses.setdefault(sha, []).append(example)
        return 201, example

    def _check_run(self, method: str, below: str, parts: list[str], body: Body, *, as_app: bool) -> tuple[int, Any]:
        if not as_app or not self.may_write_checks:
            return 403, {"message": "Resource not accessible by integration"}
        if body.get("status") == "completed" and "conclusion" not in body:
            return 422, {"message": "conclusion is required"}
        output = body.get("output") or {}
        annotations = output.get("annotations") or []
        if len(annotations) > ANNOTATIONS_AT_ONCE:
            return 422, {"message": "no more than 50 annotations"}
        if method == "POST":
            number = next(self._numbers)
            base = self._like(method, below, 201, id=number, annotations=[], conclusion=None, completed_at=None)
            self.runs[number] = base | {"app": {**base["app"], "id": 42}}
        run = self.runs[int(parts[1]) if method == "PATCH" else number]
        known = {name: body[name] for name in ("name", "head_sha", "status", "conclusion") if name in body}
        run |= known | {"annotations": [*run["annotations"], *annotations]}
        run["output"] = {**run["output"], "title": output.get("title"), "summary": output.get("summary")}
        return (201 if method == "POST" else 200), run

    def _deploy(self, method: str, below: str, body: Body) -> Body:
        kept = ("ref", "task", "environment", "description", "production_environment", "transient_environment")
        number = next(self._numbers)
        told = {name: body[name] for name in kept}
        self.deployments[number] = self._like(method, below, 201, **told, id=number, sha=body["ref"])
        return self.deployments[number]

    def _deployments(self, request: Request) -> list[Body]:
        asked = request.query_params
        found = [
            one
            for one in reversed(self.deployments.values())
            if asked.get("sha") in (None, one["sha"]) and asked.get("environment") in (None, one["environment"])
        ]
        return _page(request, found)

    def _deployment_status(self, method: str, below: str, number: int, body: Body) -> tuple[int, Any]:
        here = self.deployments[number]
        for other in self.deployments.values():
            if body.get("auto_inactive", True) and _gives_way(other, here):
                other["state"] = "inactive"
        here |= {"state": body["state"], "environment_url": body.get("environment_url")}
        told = self._like(method, below, 201, id=next(self._numbers), state=body["state"])
        self.deployment_states.setdefault(number, []).append(told)
        return 201, told

    def _like(self, method: str, below: str, status: int, **changes: Any) -> Any:
        return _example(method, f"/repos/{self.repository}{below}", status, **changes)


def _gives_way(other: Body, to: Body) -> bool:
    """By what GitHub says of `auto_inactive`: only what is older, and nothing in production."""
    is_prior = other["environment"] == to["environment"] and other["id"] < to["id"]
    is_bound = other["transient_environment"] or other["production_environment"]
    return is_prior and not is_bound and other.get("state") == "success"


def _page(request: Request, items: list[Body]) -> list[Body]:
    asked = request.query_params
    size, number = min(int(asked.get("per_page", "30")), 100), int(asked.get("page", "1"))
    return items[(number - 1) * size : number * size]


def _example(method: str, path: str, status: int, **changes: Any) -> Any:
    """GitHub's published example of an answer, with other values in some places."""
    described = operation(method, path)
    assert described is not None
    response = resolved(described.described["responses"][str(status)])
    examples = response["content"]["application/json"]["examples"]
    found = copy.deepcopy(resolved(next(iter(examples.values())))["value"])
    return {**found, **changes} if isinstance(found, dict) else found
