"""Who may do what: tokens, sessions of browsers, and a brake on guessing.

A token comes as a bearer, or as the password of any user where a program knows nothing else (git), or in the cookie
of a browser that signed in. A cookie is sent by the browser without anybody having asked for it, so a request that
changes something and has only a cookie must come from a page of this server.

Tokens are compared in constant time. Wrong ones are counted per source address and soon answered with 429 before
anything else; a good token works from any address at any time, so nobody can lock others out. Refuses to keep more
than a bounded number of addresses in memory.
"""

import base64
import binascii
import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Annotated, Protocol
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from reconciler.model.access import SCOPES, Caller, Scope

MOST_FAILURES = 20
FORGIVEN_AFTER = 60.0
MOST_ADDRESSES = 4096
SESSION = "reconciler_session"
SAFE = ("GET", "HEAD", "OPTIONS")


class Recogniser(Protocol):
    """Somebody who knows some kind of token."""

    def recognise(self, text: str) -> Caller | None: ...


class Access:
    def __init__(
        self,
        admin_token: str,
        hosts: Iterable[str] = (),
        recognisers: Iterable[Recogniser] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hosts = tuple(hosts)
        """Names under which the server may be addressed, beside localhost and any IP address."""
        self._admin_token = admin_token.encode()
        self._admin = Caller("admin", SCOPES)
        self._recognisers = tuple(recognisers)
        self._failures = Failures(clock)

    def recognise(self, token: str, address: str) -> Caller:
        """Whose token it is, or the refusal to raise."""
        if self._admin_token and hmac.compare_digest(token.encode(errors="surrogateescape"), self._admin_token):
            return self._admin
        for recogniser in self._recognisers:
            if (caller := recogniser.recognise(token)) is not None:
                return caller
        wait = self._failures.note(address)
        if wait is not None:
            raise HTTPException(429, "too many wrong tokens from this address", {"Retry-After": str(wait)})
        raise unauthorized("this token is not known")


class Failures:
    """How often each address was wrong of late."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def note(self, address: str) -> int | None:
        """Count one more; the answer is how many seconds to wait, once there were too many."""
        now = self._clock()
        began, count = self._seen.pop(address, (now, 0))
        if now - began >= FORGIVEN_AFTER:
            began, count = now, 0
        self._seen[address] = (began, count + 1)
        if len(self._seen) > MOST_ADDRESSES:
            self._seen.popitem(last=False)
        return int(began + FORGIVEN_AFTER - now) + 1 if count >= MOST_FAILURES else None


bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token of `reconciler token`, or `{data}/admin-token`."
)


def scope(needed: Scope, *, listing: bool = False) -> Callable[..., Awaitable[Caller]]:
    """A dependency: somebody whose token reaches this far.

    A token for some services only reaches endpoints that name one of them; and those that list, which show him
    nothing else.
    """

    async def check(
        request: Request, _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
    ) -> Caller:
        caller = recognised(request)
        if not caller.may(needed):
            raise HTTPException(403, f"this needs a token with the scope `{needed}`")
        service = request.path_params.get("name")
        if caller.services is not None and not listing and (service is None or not caller.may_touch(service)):
            raise HTTPException(403, f"this token is for {_only(caller)} only")
        return caller

    check.needed = needed  # type: ignore[attr-defined]
    return check


def recognised(request: Request) -> Caller:
    """Whoever asks, or the refusal to raise. Remembered for the audit log."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    access: Access = request.app.state.access
    given = given_token(request)
    carried = [given] if given is not None else sessions(request)
    if not carried:
        raise unauthorized("this needs a token: `Authorization: Bearer rcl_...`")
    if given is None and request.method not in SAFE and not comes_from_here(request):
        raise HTTPException(403, "a browser's session may change things from this server's own pages only")
    request.state.caller = caller = _first_known(access, carried, request.client.host if request.client else "")
    return caller


def _first_known(access: Access, tokens: list[str], address: str) -> Caller:
    for token in tokens[:-1]:
        with suppress(HTTPException):
            return access.recognise(token, address)
    return access.recognise(tokens[-1], address)


def given_token(request: Request) -> str | None:
    """What the request carries on purpose."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip() or None
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def sessions(request: Request) -> list[str]:
    """What a browser carries of its own accord. Usually one; a service on the same host can have planted more."""
    cookies = (cookie.strip() for header in request.headers.getlist("cookie") for cookie in header.split(";"))
    name = f"{cookie_name(request)}="
    return [cookie.removeprefix(name) for cookie in cookies if cookie.startswith(name)]


def cookie_name(request: Request) -> str:
    """Cookies know no ports: two servers on one machine must not sign each other out."""
    return f"{SESSION}_{request.url.port or (443 if request.url.scheme == 'https' else 80)}"


def comes_from_here(request: Request) -> bool:
    """Whether a page of this server sent it. Browsers say so in headers that pages cannot forge.

    The scheme is not compared: behind a proxy with TLS the browser sees another one than this server.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == request.headers.get("host")
    return request.headers.get("sec-fetch-site") == "same-origin"


def unauthorized(detail: str) -> HTTPException:
    return HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})


def _only(caller: Caller) -> str:
    return ", ".join(sorted(caller.services or ()))
