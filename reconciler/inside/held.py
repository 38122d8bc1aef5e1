"""A client's connection as something that is held for a while: at which stage it is, and every way it can leave.

It goes back to the gateway with the bytes that were read, it is refused with a last answer, or it is broken off in the
middle of one. Knows nothing of how requests are read.
"""

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .chunks import ChunkedBody
from .cycle import Cycle
from .head import NOT_TAKEN

if TYPE_CHECKING:
    from .traffic import Traffic

IDLE: Final = 0
"""Between requests; `unread` may hold the beginning of a head."""
READING: Final = 1
"""The body of a request is being read."""
ANSWERING: Final = 2
"""The request was read to its end, its response is not complete; `unread` holds what follows."""
LEAVING: Final = 3
"""To be handed back as soon as everything is written and a gateway takes it."""
LINGERING: Final = 4
"""Answered for the last time; reads and forgets until the client hangs up, so that it gets to see the answer."""
GONE: Final = 5


class Held(HttpToolsProtocol):
    # Beyond thirty attributes an instance's dictionary is no longer shared with its class: each look-up costs more.
    __slots__ = (
        "age",
        "aged",
        "began",
        "chunks",
        "discarded",
        "fd",
        "head_deadline",
        "is_extended",
        "is_parsed",
        "is_upgrading",
        "left",
        "stage",
        "traffic",
        "unread",
        "unsent",
        "unsent_for",
    )

    linger_seconds = 2.0
    """A client that was told the last has so long to read it."""

    cycle: Cycle
    """None before the first request."""

    def __init__(self, traffic: "Traffic", *, fd: int = -1, unread: bytes = b"") -> None:
        super().__init__(traffic.config, traffic.state, traffic.app_state, traffic.loop)
        self.traffic = traffic
        self.fd = fd
        """Negative for the private listener, whose connections never go back."""
        self.unread = unread
        self.stage: int = IDLE
        self.age = 0.0
        """For how long it has been idle, or with the request that `aged` is; counted at each look."""
        self.aged: object = None
        self.began = 0.0
        """When the head of its request was there."""
        self.unsent = 0
        self.unsent_for = 0.0
        self.head_deadline: asyncio.TimerHandle | None = None
        self.left = 0
        self.chunks: ChunkedBody | None = None
        self.is_parsed = False
        self.is_extended = False
        """Some header of the request may begin with `x-`, or hold a session of the control plane."""
        self.is_upgrading = False
        self.discarded = 0

    @property
    def is_busy(self) -> bool:
        return self.stage in (READING, ANSWERING)

    @property
    def is_stranded(self) -> bool:
        return self.stage == LEAVING and bool(self.unread)

    @property
    def may_go_back(self) -> bool:
        """It waits for its client, and a gateway can wait as well."""
        return self.stage == IDLE and self.fd >= 0 and not self.unread

    @property
    def is_unanswered(self) -> bool:
        """A client's request has begun, and its answer has not come to its end."""
        return self.is_busy and self.fd >= 0 and not (self.cycle is not None and self.cycle.response_complete)

    # Leaving

    def take_unread(self) -> bytes:
        return self.unread

    def release(self) -> None:
        """The gateway has a copy of the descriptor: let go of ours, without a FIN."""
        self.stage = GONE
        self.transport.abort()

    def close_unanswered(self) -> None:
        """No gateway came for it."""
        if self.unread:
            self.stage = IDLE
            self._refuse(503, "starting", "The platform is restarting.")
        else:
            self.transport.close()

    def cut(self) -> None:
        """The deadline of the drain has passed."""
        if self.stage == LEAVING:
            if self.traffic.gateways is not None:
                self.traffic.gateways.forget(self)
            self.close_unanswered()
        else:
            self.transport.close()

    def _leave(self) -> None:
        self._forget_head_deadline()
        if self.fd < 0:
            self._leave_private()
            return
        self.stage = LEAVING
        self.transport.pause_reading()
        if self.transport.get_write_buffer_size():
            # `resume_writing` is called when it is empty.
            self.transport.set_write_buffer_limits(high=0)
        else:
            self._depart()

    def _leave_private(self) -> None:
        if not self.traffic.retiring:
            self._refuse(404, "not_found", f"Only {self.traffic.prefix} is served here.")
            return
        # Also where nothing has been asked yet: it may be on its way.
        self.stage = GONE
        self.transport.write(self.traffic.refusal(503, "retiring", "The release has to go.", f"{NOT_TAKEN}: 1\r\n"))
        self.transport.close()

    def _depart(self) -> None:
        if self.stage == LEAVING and not self.transport.is_closing():
            self.traffic.give_back(self)

    def _forget_head_deadline(self) -> None:
        if self.head_deadline is not None:
            self.head_deadline.cancel()
            self.head_deadline = None

    # Ending badly

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._count_refusal(status)
        self.unread = b""
        self._forget_head_deadline()
        self.transport.write(self.traffic.refusal(status, code, message))
        self._linger()

    def _count_refusal(self, status: int) -> None:
        if self.fd >= 0 and self.is_busy:
            self.traffic.tally.answered(status, perf_counter() - self.began)
        elif self.fd >= 0:
            self.traffic.tally.answered_untimed(status)

    def _break_off(self, status: int, code: str, message: str) -> None:
        """Something is wrong in the middle of a request that the application may have begun to answer."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._refuse(status, code, message)
            return
        was_answering = cycle.is_on_its_way
        cycle.disconnected = True
        cycle.message_event.set()
        if was_answering:
            self.transport.close()
        else:
            self._refuse(status, code, message)

    def _linger(self) -> None:
        if self.transport.is_closing():
            return
        self.stage = LINGERING
        self.discarded = 0
        self.transport.write_eof()
        self.transport.resume_reading()
        self._stop_lingering_later()

    def _stop_lingering_later(self) -> None:
        self.loop.call_later(self.linger_seconds, self._stop_lingering)

    def _stop_lingering(self) -> None:
        if self.stage != LINGERING:
            return
        if self.transport.get_write_buffer_size():
            # It is still being answered, and has the time for it that every client has.
            self._stop_lingering_later()
        else:
            self.transport.abort()
