"""uvicorn's cycle of one request and its response, put in uvicorn's own place, so that it costs no frame more.

It adds five things: the request's id is known while the application runs, the answer's status is known when it is
complete, answers of 500 and more are counted, an application that fails after it has answered keeps its connection, and
a stream of events is told from other answers.
The ordinary answer is written by a shorter way, which pays for what the worker does before each request.
Everything unusual is left to uvicorn.
"""

import re
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from .output import REQUEST
from .service import Application

REQUEST_KEY = "reconciler.request"
SERVER_ERROR = 500
CLOSE = (b"connection", b"close")
FRAMING = frozenset((b"content-length", b"transfer-encoding"))


NOT_ORDINARY = (0, b"")
JOINED_LIMIT = 64 * 1024
"""Beyond it, copying a body behind its head costs more than a second write."""
ORDINARY = frozenset(
    b"content-length content-type content-disposition content-encoding content-language accept-ranges cache-control "
    b"etag expires last-modified location set-cookie vary access-control-allow-origin "
    b"access-control-allow-credentials access-control-expose-headers".split()
)
"""Names that are valid, in lower case, and mean nothing to the connection."""
SEND_OF_UVICORN = (
    "HEADER_RE HEADER_VALUE_RE RuntimeError STATUS_LINE access_log access_logger append chunked_encoding close decode "
    "default_headers disconnected drain expected_content_length extend flow get get_client_addr "
    "get_path_with_query_string info int join keep_alive len list lower message_event on_response response_complete "
    "response_started scope search set split strip transport waiting_for_100_continue write write_paused"
)
"""All that uvicorn's `send` makes use of in the versions that `QuickCycle` was written beside."""
_controls = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


class PrivateId(str):
    """The id of a request that came by the private listener: of a suite, which tries and does not count as traffic."""

    __slots__ = ()


class StatusLines(dict[int, bytes]):
    """The first line of a response by its status: a good answer's is found, any other's is missed and counted."""

    def __init__(self, lines: Mapping[int, bytes]) -> None:
        super().__init__({status: line for status, line in lines.items() if status < SERVER_ERROR})
        self._bad = {status: line for status, line in lines.items() if status >= SERVER_ERROR}
        self.failed = 0
        """What tells a bad release from a good one."""

    def __missing__(self, status: int) -> bytes:
        line = self._bad[status]
        self.count(REQUEST.get())
        return line

    def count(self, request: str | None) -> None:
        if not isinstance(request, PrivateId):
            self.failed += 1


class Cycle(RequestResponseCycle):
    head = b""
    """Waits for the body that it announces."""
    is_endless = False
    """A stream of events, which may take as long as it likes."""
    is_overdue = False
    is_last = False
    """The answer says that the connection ends with it."""
    is_unframed = False
    """Nothing but the end of the connection tells where the answer ends: HTTP/1.0 knows no chunks."""
    status = 0
    """Of the answer, once it began."""

    @property
    def is_on_its_way(self) -> bool:
        """Something of the answer has been written."""
        return self.response_started and not self.head

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            await self._start(message)
        else:
            if self.is_unframed:
                self._admit(message)
            await super().send(message)

    def _admit(self, message: Any) -> None:
        """uvicorn holds each part of a body against the length that is left of it."""
        self.expected_content_length = len(message.get("body", b""))

    async def _start(self, message: Any) -> None:
        self.status = message["status"]
        self.is_endless = _is_stream_of_events(message)
        if self.waiting_for_100_continue and self.more_body and not self.body:
            # The client may send the body next or another request, and nobody can tell which.
            message = message | {"headers": [*message.get("headers", ()), CLOSE]}
        if self.scope["http_version"] == "1.0" and not FRAMING.intersection(_names_in(message)):
            self.is_unframed = True
            self.chunked_encoding = False
        await RequestResponseCycle.send(self, message)
        if not self.keep_alive:
            # Or uvicorn closes while the client still sends: that is a reset, and the answer is lost.
            self.is_last = self.keep_alive = True

    async def run_asgi(self, app: Application) -> None:
        # Here, because some versions of uvicorn start the task of a request with an empty context.
        REQUEST.set(self.scope.get(REQUEST_KEY))  # type: ignore[arg-type]
        try:
            result = await app(self.scope, self.receive, self.send)
        except BaseException as error:
            if self.is_overdue:
                self.logger.error("The request took longer than timeout.request", exc_info=error)
            elif self.response_complete and isinstance(error, Exception):
                # Starlette answers with 500 and raises all the same, for the log. uvicorn would close the connection
                # on it without having told the client, whose next request is lost.
                self.logger.exception("Exception in ASGI application")
            else:
                self._take_back()
                await super().run_asgi(_raising(error))
        else:
            if result is not None or not self.response_complete:
                await super().run_asgi(_returning(result))
        finally:
            # As uvicorn does: connection and cycle must not keep each other alive.
            self.on_response = _nothing

    def _take_back(self) -> None:
        """What was announced and never sent: the client shall hear of the failure instead."""
        if self.head:
            self.head = b""
            self.response_started = False
            self.chunked_encoding = None


class QuickCycle(Cycle):
    """Writes the ordinary answer itself: `content-length`, everyday headers, a body in one piece.

    Head and body leave in one write, so an ordinary head waits for the first of its body, as ASGI allows.
    """

    async def send(self, message: Any) -> None:
        if self.head:
            head, self.head = self.head, b""
            if self._ends(message):
                self.transport.write(head + message["body"] if "body" in message else head)
                self.expected_content_length = 0
                self.response_complete = True
                self.message_event.set()
                self.on_response()
                return
            if not self.disconnected:
                self.transport.write(head)
        elif (
            not self.response_started
            and self.keep_alive
            and not self.waiting_for_100_continue
            and self.scope["method"] != "HEAD"
        ):
            length, self.head = _ordinary_head(message, self.default_headers)
            if self.head:
                self.status = message["status"]
                self.response_started = True
                self.chunked_encoding = False
                self.expected_content_length = length
                return
        if message["type"] == "http.response.start":
            await self._start(message)
            return
        if self.is_unframed:
            self._admit(message)
        # Not by way of `Cycle`: a stream pays for each frame at each of its parts.
        await RequestResponseCycle.send(self, message)

    def _ends(self, message: Any) -> bool:
        """It is all of the body, as long as the head has said, and there is nothing in its way."""
        return (
            message["type"] == "http.response.body"
            and not message.get("more_body", False)
            and len(message.get("body", b"")) == self.expected_content_length
            and not self.disconnected
            and not self.flow.write_paused
        )


def _ordinary_head(message: Any, given: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """The length of the body and the head that announces it; no head when anything about it wants a closer look."""
    if message["type"] != "http.response.start":
        return NOT_ORDINARY
    length = None
    lines: list[bytes] = []
    for name, value in message.get("headers", ()):
        if name not in ORDINARY or _controls(value):
            return NOT_ORDINARY
        if name == b"content-length":
            if length is not None or not value.isdigit():
                return NOT_ORDINARY
            length = int(value)
        lines += (name, b": ", value, b"\r\n")
    if length is None or length > JOINED_LIMIT:
        return NOT_ORDINARY
    (_, date), (_, request_id) = given
    first = httptools_impl.STATUS_LINE[message["status"]]
    return length, b"".join((first, b"date: ", date, b"\r\nx-request-id: ", request_id, b"\r\n", *lines, b"\r\n"))


def _names_in(message: Any) -> set[bytes]:
    return {name.lower() for name, _ in message.get("headers", ())}


def _is_stream_of_events(message: Any) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream") for name, value in message.get("headers", ())
    )


def _returning(result: object) -> Application:
    async def app(*_: Any) -> object:
        return result

    return app


def _raising(error: BaseException) -> Application:
    async def app(*_: Any) -> None:
        raise error

    return app


def _nothing() -> None:
    return


status_lines = StatusLines(getattr(httptools_impl, "STATUS_LINE", {}))


def take_place() -> None:
    """From now on uvicorn makes and uses ours."""
    httptools_impl.STATUS_LINE = status_lines
    is_known = set(SEND_OF_UVICORN.split()).issuperset(RequestResponseCycle.send.__code__.co_names)
    httptools_impl.RequestResponseCycle = QuickCycle if is_known else Cycle  # type: ignore[misc]
