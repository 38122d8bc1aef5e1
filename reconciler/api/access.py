"""Who may do what: bearer tokens, their scopes, and a brake on guessing.

A token is compared in constant time. Wrong ones are counted per source address and soon answered with 429
before anything else; a good token works from any address at any time, so nobody can lock others out.
Refuses to keep more than a bounded number of addresses in memory.
"""

import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

Scope = Literal["read", "deploy", "secrets", "admin"]
SCOPES: frozenset[Scope] = frozenset({"read", "deploy", "secrets", "admin"})

MOST_FAILURES = 20
FORGIVEN_AFTER = 60.0
MOST_ADDRESSES = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a token stands for."""

    name: str
    scopes: frozenset[Scope]


class Access:
    def __init__(
        self, admin_token: str, hosts: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.hosts = tuple(hosts)
        """Names under which the server may be addressed, beside localhost and any IP address."""
        self._admin_token = admin_token.encode()
        self._admin = Caller("admin", SCOPES)
        self._failures = Failures(clock)

    def recognise(self, token: str, address: str) -> Caller:
        """Whose token it is, or the refusal to raise."""
        if hmac.compare_digest(token.encode(errors="surrogateescape"), self._admin_token):
            return self._admin
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


bearer = HTTPBearer(auto_error=False, description="A token of `reconciler token`, or `{data}/admin-token`.")


def scope(needed: Scope) -> Callable[..., Awaitable[Caller]]:
    """A dependency: somebody whose token reaches this far."""

    async def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
    ) -> Caller:
        if credentials is None:
            raise unauthorized("this needs a token: `Authorization: Bearer rcl_...`")
        access: Access = request.app.state.access
        caller = access.recognise(credentials.credentials, request.client.host if request.client else "")
        if needed not in caller.scopes and "admin" not in caller.scopes:
            raise HTTPException(403, f"this needs a token with the scope `{needed}`")
        return caller

    return check


def unauthorized(detail: str) -> HTTPException:
    return HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
