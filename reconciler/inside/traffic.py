"""What all connections of one worker share: the application, the rules, the counts, the clock.

Refuses to know about gateways beyond one verb: `give_back`.
"""

import asyncio
import contextvars
import copy
import functools
import importlib.util
import inspect
import itertools
import json
import os
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config, WSProtocolType
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .cycle import status_lines, take_place
from .service import Application
from .tally import Tally

if TYPE_CHECKING:
    from .connection import Connection
    from .gateways import Gateways
    from .held import Held

IDLE_SECONDS = 75.0
SWEEP_SECONDS = 5.0
LOOKS_WITHIN_REQUEST = 10
"""So often all connections are looked at within the time that a request may take, if that is more often."""
GIVEN = frozenset((b"x-request-id", b"date"))

Header = tuple[bytes, bytes]


class Headers(list[Header]):
    """The headers that every response gets. uvicorn adds the application's own with `+`; those win."""

    __slots__ = ()

    def __add__(self, own: list[Header]) -> list[Header]:  # type: ignore[override]
        # Lower case is what ASGI asks of an application's names; nearly all have neither.
        for name, _ in own:
            if name in GIVEN:
                names = {name for name, _ in own}
                return [header for header in self if header[0] not in names] + own
        return [*self, *own]


def websocket_protocol() -> WSProtocolType:
    """uvicorn's newest, which it prefers itself since it has it; its older one uses what `websockets` deprecated."""
    has_sansio = importlib.util.find_spec("uvicorn.protocols.websockets.websockets_sansio_impl") is not None
    return "websockets-sansio" if has_sansio else "auto"


@functools.cache
def configuration() -> Config:
    """Made once, before the fork: nothing in it is about any one service."""
    take_place()
    config = Config(
        _nobody,
        http=HttpToolsProtocol,
        ws=websocket_protocol(),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        interface="asgi3",
        proxy_headers=False,
    )
    config.load()
    return config


async def _nobody(_scope: object, _receive: object, _send: object) -> None:
    """Stands for the application until there is one."""


def _nobody_hears() -> None:
    return


class Prefixed:
    """Tell the application where it is mounted. uvicorn's own `root_path` would prepend it to every path, again."""

    def __init__(self, app: Application, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        scope["root_path"] = self._prefix
        return self._app(scope, receive, send)


class Traffic:
    def __init__(
        self,
        app: Application,
        app_state: dict[str, Any],
        *,
        service: str,
        prefix: str,
        body_limit: int | None,
        loop: asyncio.AbstractEventLoop,
        request_limit: float | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.app = app
        self.config = copy.copy(configuration())
        self.app_state = app_state
        self.service = service
        self.prefix = prefix
        self.mount = prefix.rpartition("/")[0].encode() or b"/"
        self.exact_path = prefix.encode()
        self.below_path = prefix.encode() + b"/"
        self.body_limit = body_limit
        self.request_limit = request_limit
        self.loop = loop
        self.tally = tally or Tally(loop, due=_nobody_hears)
        self.context = contextvars.copy_context()
        self.state = ServerState()
        self.gateways: Gateways | None = None
        self.retiring = False
        self.handed_back = 0
        self.private_requests = 0
        """Of a suite: they try the release, and say nothing about how it serves."""
        self._connections: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_every = SWEEP_SECONDS
        if request_limit is not None:
            self._sweep_every = min(SWEEP_SECONDS, request_limit / LOOKS_WITHIN_REQUEST)
        self._second = 0
        self._date: Header = (b"date", b"")
        self._ids = itertools.count()
        self._id_start = os.urandom(5).hex()

    @functools.cached_property
    def app_behind_proxy(self) -> Application:
        """The same, told about the client by a proxy in front, if that proxy is trusted as uvicorn trusts it."""
        trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
        return ProxyHeadersMiddleware(Prefixed(self.app, self.prefix), trusted)  # type: ignore[arg-type]

    def request_id(self) -> str:
        return f"{self._id_start}-{next(self._ids):x}"

    def headers(self, request_id: str) -> Headers:
        second = int(time.time())
        if second != self._second:
            self._tick(second)
        return Headers((self._date, (b"x-request-id", request_id.encode())))

    def date(self) -> Header:
        self._tick(int(time.time()))
        return self._date

    def _tick(self, second: int) -> None:
        # uvicorn's server does this by a timer; a worker that has nothing to do shall not wake up.
        self._second = second
        self._date = (b"date", formatdate(second, usegmt=True).encode())

    def refusal(self, status: int, code: str, message: str, fields: str = "") -> bytes:
        error = {"error": {"code": code, "message": message, "service": self.service}}
        body = json.dumps(error, separators=(",", ":")).encode()
        retry = "retry-after: 1\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ndate: {self.date()[1].decode()}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{retry}{fields}connection: close\r\n\r\n"
        )
        return head.encode() + body

    def enter(self, connection: "Connection") -> None:
        self._connections.add(connection)
        self.tally.stir()
        if self._sweep is None:
            self._sweep = self.loop.call_later(self._sweep_every, self._look_at_all)

    def leave(self, connection: "Connection") -> None:
        self._connections.discard(connection)
        self.tally.stir()

    def _look_at_all(self) -> None:
        """One timer for all connections, and none when there are none."""
        self._sweep = None
        for connection in tuple(self._connections):
            connection.grow_older(self._sweep_every, IDLE_SECONDS)
        # A request that has begun and does not end changes no count, and yet something that is told.
        self.tally.stir()
        if self._connections:
            self._sweep = self.loop.call_later(self._sweep_every, self._look_at_all)

    def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    @property
    def connections(self) -> "tuple[Connection, ...]":
        """The HTTP connections; those that became WebSockets are not among them."""
        return tuple(self._connections)

    @property
    def websockets(self) -> tuple[Any, ...]:
        return tuple(other for other in self.state.connections if other not in self._connections)

    @property
    def held(self) -> int:
        return len(self._connections) + len(self.websockets)

    @property
    def requests(self) -> int:
        """Those of clients."""
        return self.state.total_requests - self.private_requests

    @property
    def failed(self) -> int:
        return status_lines.failed

    @property
    def in_flight(self) -> int:
        return sum(connection.is_busy for connection in self._connections)

    @property
    def stranded(self) -> int:
        """Requests, or beginnings of one, that should have gone back and could not."""
        return sum(connection.is_stranded for connection in self._connections)

    def end_task_of(self, cycle: object) -> None:
        """Looked for: to note each request's task would cost something at each request."""
        for task in self.state.tasks:
            coroutine = task.get_coro()
            if inspect.iscoroutine(coroutine) and inspect.getcoroutinelocals(coroutine).get("self") is cycle:
                task.cancel()

    def retire(self) -> None:
        self.retiring = True
        for connection in self.connections:
            connection.retire()

    def resume(self) -> None:
        """A parked worker serves again whatever it is given."""
        self.retiring = False
        if self.gateways is not None:
            self.gateways.resume()

    def give_back(self, connection: "Held") -> None:
        if self.gateways is None:
            connection.close_unanswered()
        else:
            self.gateways.give_back(connection)
