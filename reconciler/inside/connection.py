"""One client's connection: uvicorn's HTTP protocol, given exactly one request at a time.

Before each request the worker looks at its first bytes, by the same rules as the gateway. What is another service's
goes back to the gateway with every byte that was read; what is not HTTP as we accept it is refused; only then does
uvicorn's parser see it, and of it only this one message. So the parser never holds bytes of a request that is not
ours, and the connection can change hands between any two requests.

Nothing of the answer is ours: cycle, flow control, WebSocket hand-over and application errors are uvicorn's.
"""

import asyncio
import re
from time import perf_counter
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .chunks import ChunkedBody, Malformed
from .cookies import SESSION, without_sessions
from .cycle import REQUEST_KEY, PrivateId
from .head import Head, Refused, read_head
from .held import ANSWERING, GONE, IDLE, LEAVING, LINGERING, READING
from .output import REQUEST
from .patience import Patient
from .prefix import service_prefix
from .upgrades import is_for_websocket, without_wish

FOLLOWERS_LIMIT = 64 * 1024
DISCARD_LIMIT = 1024 * 1024

REQUEST_ID = re.compile(rb"[!-~]{1,128}")


# `super()` makes an object for each call before Python 3.12.
_headers_are_complete = HttpToolsProtocol.on_headers_complete
_message_is_complete = HttpToolsProtocol.on_message_complete


class Connection(Patient):
    __slots__ = ()

    # What the transport says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.traffic.enter(self)
        if self.unread:
            self._proceed()
        elif self.traffic.retiring:
            self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.stage == LEAVING and self.traffic.gateways is not None:
            self.traffic.gateways.forget(self)
        if self.is_unanswered:
            self.traffic.tally.left_unanswered()
        self.stage = GONE
        self._forget_head_deadline()
        self.traffic.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        stage = self.stage
        if stage == IDLE:
            if self.unread:
                is_unfinished = self._is_unfinished_with(data)
                data = self.unread + data
                if is_unfinished:
                    self.unread = data
                    return
                self.unread = b""
            self._begin(data)
        elif stage == READING:
            self._read_on(data)
        elif stage in (ANSWERING, LEAVING):
            self.unread += data
            if len(self.unread) > DISCARD_LIMIT:
                # uvicorn reads on whenever the application asks whether the client is still there.
                self.transport.abort()
            elif len(self.unread) > FOLLOWERS_LIMIT:
                self.flow.pause_reading()
        elif stage == LINGERING:
            self.discarded += len(data)
            if self.discarded > DISCARD_LIMIT:
                self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.stage == LEAVING:
            self.loop.call_soon(self._depart)

    # A request, from its first byte to its last

    def _begin(self, data: bytes) -> None:
        try:
            head = read_head(data)
            if head is not None and (b".." in head.path or b"%2" in head.path or b"\\" in head.path):
                # The gateway refuses a path that climbs out of its service; on a kept connection nobody else would.
                service_prefix(head.path, self.traffic.mount)
        except Refused as refused:
            self._refuse(refused.status, refused.code, refused.message)
            return
        if head is None:
            self._wait_for_head(data)
            return
        if self.head_deadline is not None:
            self._forget_head_deadline()
        traffic = self.traffic
        if not (head.path.startswith(traffic.below_path) or head.path == traffic.exact_path) or traffic.retiring:
            self.unread = data
            self._leave()
            return
        self.began = perf_counter()
        self.is_parsed = False
        self.is_extended = b"\nx-" in data or b"\nX-" in data or SESSION in data
        if head.chunked or head.content_length or head.upgrade:
            self._begin_long(head, data)
            return
        length = head.length
        self.stage = ANSWERING
        if len(data) != length:
            self.unread = data[length:]
            data = data[:length]
        self._feed(data)
        if not self.is_parsed:
            self._disagree()

    def _begin_long(self, head: Head, data: bytes) -> None:
        """A request with a body, or one that wants to become something else."""
        limit = self.traffic.body_limit
        if limit is not None and head.content_length > limit:
            self._refuse_body(limit)
            return
        self.stage = READING
        self.is_upgrading = False
        self.discarded = 0
        if head.upgrade and not is_for_websocket(head, data):
            data = without_wish(head, data)
        if head.chunked:
            self.chunks = ChunkedBody()
            self._feed(data[: head.length])
            self._read_on(data[head.length :])
            return
        self.chunks = None
        length = head.length + head.content_length
        if len(data) >= length:
            self.left = 0
            self._feed(data if len(data) == length else data[:length])
            self._read_to_end(data[length:])
        else:
            self.left = length - len(data)
            self._feed(data)

    def _read_on(self, data: bytes) -> None:
        if not data or self.stage != READING:
            return
        if self.cycle.response_complete:
            self.discarded += len(data)
            if self.discarded > DISCARD_LIMIT:
                # Not at once: many a client takes a broken pipe for a reason to read its answer, and a reset for none.
                self._linger()
                return
        if self.chunks is None:
            rest = data[self.left :] if len(data) > self.left else b""
            if rest:
                data = data[: self.left]
            self.left -= len(data)
            is_last = self.left == 0
        else:
            try:
                data, rest = self.chunks.take(data)
            except Malformed as malformed:
                self._break_off(400, "bad_request", f"The request's body is not valid: {malformed}.")
                return
            limit = self.traffic.body_limit
            if limit is not None and self.chunks.size > limit:
                self._break_off(413, "body_too_large", f"The request's body is larger than {limit} bytes.")
                return
            is_last = self.chunks.done
        if data:
            self._feed(data)
        if is_last:
            self._read_to_end(rest)

    def _read_to_end(self, rest: bytes) -> None:
        if self.stage != READING:
            return
        if self.is_upgrading and self._should_upgrade():
            self._become_websocket(rest)
            return
        self.unread = rest
        if not self.is_parsed:
            self._disagree()
        elif self.cycle.response_complete:
            self._end()
        else:
            self.stage = ANSWERING

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.is_upgrading = True
        except httptools.HttpParserError:
            self._break_off(400, "bad_request", "The request is not valid HTTP.")

    def on_headers_complete(self) -> None:
        traffic = self.traffic
        # Most requests name no proxy, and then looking up whether the client may be one is not worth its price.
        self.app = traffic.app
        request_id = self._read_extensions() if self.is_extended else None
        if request_id is None:
            request_id = traffic.request_id()
        scope: Any = self.scope
        scope["root_path"] = traffic.prefix
        scope[REQUEST_KEY] = request_id if self.fd >= 0 else PrivateId(request_id)
        # The WebSocket protocol and, through uvicorn, this request's cycle take their headers from here.
        self.server_state.default_headers = traffic.headers(request_id)
        if self.expect_100_continue and self.parser.get_http_version() == "1.0":
            # It would take the leave to go on for the answer.
            self.expect_100_continue = False
        _headers_are_complete(self)

    def _read_extensions(self) -> str | None:
        """The request's id, if it has one already."""
        request_id = None
        has_session = False
        for name, value in self.headers:
            if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
                request_id = value.decode()
            elif name.startswith(b"x-forwarded-"):
                self.app = self.traffic.app_behind_proxy
            elif name == b"cookie" and SESSION in value:
                has_session = True
        if has_session:
            # In place: the scope holds this very list.
            self.headers[:] = without_sessions(self.headers)
        return request_id

    def on_message_complete(self) -> None:
        self.is_parsed = True
        _message_is_complete(self)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.fd < 0:
            self.traffic.private_requests += 1
        elif self.cycle.is_endless:
            self.traffic.tally.answered_untimed(self.cycle.status)
        else:
            self.traffic.tally.answered(self.cycle.status, perf_counter() - self.began)
        if self.transport.is_closing():
            return
        if self.cycle.is_last:
            self._end_for_good()
        elif self.stage == ANSWERING:
            self._end()
        elif self.stage == READING:
            self._end_early()

    def _end(self) -> None:
        """The request is over: its response is complete and its body was read."""
        self.stage = IDLE
        self.age = 0.0
        self.flow.resume_reading()
        if self.unread or self.traffic.retiring:
            # Not at once: this runs inside the task of the request that just ended.
            self.loop.call_soon(self._proceed, context=self.traffic.context)

    def _end_for_good(self) -> None:
        if self.stage == READING:
            self._linger()
        else:
            self.stage = LINGERING
            self.transport.close()

    def _end_early(self) -> None:
        """Answered before the body was read."""
        if self.left > DISCARD_LIMIT:
            self._linger()
            return
        self.age = 0.0
        self.flow.resume_reading()
        if self.traffic.retiring:
            self._give_up_on_body_soon()

    def _proceed(self) -> None:
        if self.stage != IDLE or self.transport.is_closing():
            return
        if self.traffic.retiring:
            self._leave()
        elif self.unread:
            data, self.unread = self.unread, b""
            self._begin(data)

    def retire(self) -> None:
        """Go back to the gateway now if nothing is under way; `_end` sees to it otherwise."""
        if self.stage == IDLE:
            self._leave()
        elif self._is_answered_early:
            self._give_up_on_body_soon()

    def _refuse_body(self, limit: int) -> None:
        self._refuse(413, "body_too_large", f"The request's body is larger than {limit} bytes.")

    def _disagree(self) -> None:
        """The parser does not see the message's end where we see it: never go on with such a connection."""
        if self.stage in (READING, ANSWERING):
            self._break_off(400, "bad_request", "The request is not valid HTTP.")

    def _become_websocket(self, rest: bytes) -> None:
        self.stage = GONE
        self.traffic.leave(self)
        # Before the application's task is made: the task keeps a copy of the context as it is now.
        REQUEST.set(self.scope[REQUEST_KEY])  # type: ignore[literal-required]
        self.config.loaded_app = self.traffic.app_behind_proxy
        # `websockets` never answers one that announces a body, though it be empty.
        self.headers[:] = [header for header in self.headers if header[0] != b"content-length"]
        self.handle_websocket_upgrade()
        protocol: Any = self.transport.get_protocol()
        if rest and protocol is not self:
            protocol.data_received(rest)


class PrivateConnection(Connection):
    """Of somebody who has limits of his own: a suite its budget, a job its timeout."""

    __slots__ = ()

    def _grow_older_with_request(self, seconds: float) -> None:
        return
