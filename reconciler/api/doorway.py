"""What every request passes before anything else looks at it.

The Host header must name this server (a web page that points its own name at 127.0.0.1 is turned away: DNS
rebinding), a body must be small, every answer carries the headers that keep a browser from guessing and the id of
its request, and a bug is logged whole, with that id, and told in one sentence.
Plain ASGI, so that it costs nothing and streams stay streams.
"""

import ipaddress
import logging
import re
import uuid
from collections.abc import Iterable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.api.problems import problem
from reconciler.control.attention import visit

LOCAL = ("localhost", "ip6-localhost")
BODY_LIMIT = 1 << 20
PUSH_LIMIT = (2 << 30) + BODY_LIMIT
"""git itself refuses a pack of more than 2 GiB, and says so better; this only ends what would not stop."""
PUSHES = re.compile(r"/git/[^/]+\.git/git-receive-pack")
SECRETS = "/v1/secrets/"
SECRET_LIMIT = 8 << 20
"""A value of a megabyte, written in JSON."""
REQUEST_ID = re.compile(rb"[!-~]{1,128}")
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]

log = logging.getLogger(__name__)


class BodyTooLarge(Exception):
    pass


class Doorway:
    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str], signed: Mapping[str, int] | None = None) -> None:
        """`signed` are paths whose requests prove themselves, under whatever name they ask, and their largest body."""
        self._app = app
        self._signed = signed or {}
        self._hosts = frozenset(name.lower().rstrip(".") for name in (*LOCAL, *allowed_hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with visit():
            await self._admit(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._limit(scope["path"])
        door = Passage(receive, send, limit, _request_id(scope))
        if scope["path"] not in self._signed and not self._is_addressed(scope):
            refusal = problem(
                421, "the Host header does not name this server; the operator allows more with --allowed-host"
            )
            await refusal(scope, receive, door.send)
        elif _announced_length(scope) > limit:
            await _too_large(scope, receive, door)
        else:
            await self._pass(scope, receive, door)

    def _limit(self, path: str) -> int:
        if PUSHES.fullmatch(path):
            return PUSH_LIMIT
        return SECRET_LIMIT if path.startswith(SECRETS) else self._signed.get(path, BODY_LIMIT)

    async def _pass(self, scope: Scope, receive: Receive, door: "Passage") -> None:
        try:
            await self._app(scope, door.receive, door.send)
        except BodyTooLarge:
            if door.answered:
                raise
            await _too_large(scope, receive, door)
        except Exception:
            log.exception("a bug stopped an answer of the control plane", extra={"request": door.request_id.decode()})
            if door.answered:
                raise
            await problem(500, "a bug of the reconciler; its log says more")(scope, receive, door.send)

    def _is_addressed(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False
        name = _without_port(hosts[0].decode("latin-1")).lower().rstrip(".")
        return name in self._hosts or _is_address(name)


class Passage:
    """One request on its way in, and its answer on its way out."""

    def __init__(self, receive: Receive, send: Send, limit: int, request_id: bytes) -> None:
        self.limit = limit
        self.request_id = request_id
        self._receive = receive
        self._send = send
        self._received = 0
        self.answered = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self.limit:
            raise BodyTooLarge
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.answered = True
            given = {name.lower() for name, _ in message.get("headers", ())}
            ours = (header for header in (*HEADERS, (b"x-request-id", self.request_id)) if header[0] not in given)
            message = {**message, "headers": [*message.get("headers", ()), *ours]}
        await self._send(message)


async def _too_large(scope: Scope, receive: Receive, door: "Passage") -> None:
    refusal = problem(413, f"a body may have {door.limit} bytes at most", {"Connection": "close"})
    await refusal(scope, receive, door.send)


def _request_id(scope: Scope) -> bytes:
    """The client's own, or one that is made for it: services do the same."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.encode()


def _announced_length(scope: Scope) -> int:
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(value) if value.isdigit() else 0


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    """An address cannot be rebound: the browser compares it with what it connected to."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
