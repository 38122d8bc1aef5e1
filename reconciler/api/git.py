"""The push remote: git's smart HTTP, for whoever holds a token.

The token is the password, of any user name, since that is what git can send. Refusals are plain text, which is what
git shows. Answers to exactly the three paths of the protocol, and only in its own media types; where another
repository is followed, it says where to push instead.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from reconciler.api.access import given_token, recognised
from reconciler.model.access import Caller
from reconciler.model.access import Scope as Reach
from reconciler.source.backend import Call, Client, ClientGone, Service

IDLE = 60.0
"""A client that neither sends nor takes anything for so long, in the middle of what it began, is let go of."""
PLAIN: dict[int | str, dict[str, Any]] = {
    200: {"description": "As git's smart HTTP protocol has it", "content": {"application/octet-stream": {}}},
    401: {"description": "Needs a token", "content": {"text/plain": {}}},
    403: {"description": "Not with this token, or not here", "content": {"text/plain": {}}},
    404: {"description": "No such repository", "content": {"text/plain": {}}},
    415: {"description": "Not what git sends", "content": {"text/plain": {}}},
}
PROTOCOL = re.compile(r"version=[0-9](:[a-z0-9=.-]{1,40}){0,8}")
ASK = {"WWW-Authenticate": 'Basic realm="reconciler", charset="UTF-8"'}

Side = Literal["git-upload-pack", "git-receive-pack"]


class Remote(Protocol):
    """What can be pushed to; control implements it."""

    @property
    def name(self) -> str | None:
        """The repository's name; None where another one is followed."""

    @property
    def elsewhere(self) -> str:
        """Where to push then."""
        ...

    async def serve(self, call: Call, client: Client) -> None: ...


class Refused(Exception):
    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


def answer_in_plain_text(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return PlainTextResponse(f"{error.text}\n", error.status, error.headers)


def _may(needed: Reach) -> Callable[..., Awaitable[Caller]]:
    """A dependency: somebody whose token reaches this far, or a refusal that git shows."""

    async def check(request: Request) -> Caller:
        if given_token(request) is None:
            # A browser's session is no way in: nobody pushes by opening a page.
            raise Refused(401, "Give a token as the password, of any user name.", ASK)
        try:
            caller = recognised(request)
        except HTTPException as error:
            headers = dict(error.headers or {}) | (ASK if error.status_code == 401 else {})
            raise Refused(error.status_code, str(error.detail), headers) from error
        _check(caller, needed)
        return caller

    check.needed = needed  # type: ignore[attr-defined]
    return check


def _check(caller: Caller, needed: Reach) -> None:
    if not caller.may(needed):
        raise Refused(403, f"This needs a token with the scope `{needed}`.")
    if caller.services is not None:
        raise Refused(403, "This token is for some services only, and a repository holds all of them.")


def _find(request: Request, repository: str) -> Remote:
    remote: Remote = request.app.state.platform.remote
    if remote.name is None:
        raise Refused(403, f"This server follows {remote.elsewhere}. Push there, and it follows.")
    if repository != remote.name:
        raise Refused(404, f"There is no {repository}.git here; there is {remote.name}.git.")
    return remote


Reader = Annotated[Caller, Depends(_may("read"))]
Pusher = Annotated[Caller, Depends(_may("deploy"))]
Name = Annotated[str, Path(max_length=100, description="The repository's name.", examples=["services"])]

router = APIRouter(tags=["git"], default_response_class=PlainTextResponse, responses=PLAIN)


@router.get("/git/{repository}.git/info/refs")
async def git_refs(
    request: Request,
    repository: Name,
    caller: Reader,
    service: Annotated[Side, Query(description="Which of them begins.")],
) -> Response:
    """What there is, and how to get or change it. `git push` and `git fetch` begin here."""
    if service == "git-receive-pack":
        _check(caller, "deploy")
    return Exchange(_find(request, repository), _call(request, "info/refs", caller, query=f"service={service}"))


@router.post("/git/{repository}.git/git-upload-pack")
async def git_fetch(request: Request, repository: Name, caller: Reader) -> Response:
    """What `git fetch` and `git clone` take."""
    return Exchange(_find(request, repository), _call(request, "git-upload-pack", caller))


@router.post("/git/{repository}.git/git-receive-pack")
async def git_push(request: Request, repository: Name, caller: Pusher) -> Response:
    """What `git push` brings. The answer goes on until what it caused is live, or as long as the pusher wants."""
    return Exchange(_find(request, repository), _call(request, "git-receive-pack", caller))


def _call(request: Request, service: Service, caller: Caller, *, query: str = "") -> Call:
    headers = request.headers
    expected = "" if service == "info/refs" else f"application/x-{service}-request"
    if expected and headers.get("content-type") != expected:
        raise Refused(415, f"This takes {expected}, which git sends.")
    encoding = headers.get("content-encoding", "identity")
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise Refused(415, "A body may be sent as it is, or gzipped.")
    length, protocol = headers.get("content-length", ""), headers.get("git-protocol", "")
    return Call(
        service,
        query,
        expected,
        int(length) if length.isdigit() else None,
        encoding != "identity",
        protocol if PROTOCOL.fullmatch(protocol) else "",
        caller.name,
        request.client.host if request.client else "",
    )


class Exchange(Response):
    """One request of git, passed on both ways as it comes."""

    def __init__(self, remote: Remote, call: Call) -> None:
        super().__init__()
        self._remote = remote
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visitor = Visitor(receive, send)
        try:
            await self._remote.serve(self._call, visitor)
        except ClientGone:
            return
        if visitor.answered:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class Visitor:
    """A git client, as ASGI knows it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.answered = False
        self._receive = receive
        self._send = send

    async def body(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._next(IDLE)
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body", False):
                return

    async def gone(self) -> None:
        with contextlib.suppress(ClientGone):
            while True:
                await self._next(None)

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.answered = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def put(self, chunk: bytes) -> None:
        try:
            async with asyncio.timeout(IDLE):
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError as error:
            raise ClientGone from error

    async def _next(self, within: float | None) -> Message:
        try:
            async with asyncio.timeout(within):
                message = await self._receive()
        except TimeoutError as error:
            raise ClientGone from error
        if message["type"] == "http.disconnect":
            raise ClientGone
        return message
