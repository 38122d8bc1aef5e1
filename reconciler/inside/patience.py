"""How long a connection waits for its client: for a head, for a body, for what was answered to be taken.

One look every few seconds by a timer that all connections share, so that waiting costs a request nothing. Only a head
that began has a timer of its own.
"""

import select

from .cycle import REQUEST_KEY, status_lines
from .head import EMPTY_LINE, HEAD_LIMIT
from .held import IDLE, READING, Held

HEAD_SECONDS = 10.0


class Patient(Held):
    __slots__ = ()

    def _wait_for_head(self, data: bytes) -> None:
        if data == EMPTY_LINE:
            return
        self.unread = data
        if self.head_deadline is None:
            self.head_deadline = self.loop.call_later(HEAD_SECONDS, self._give_up_on_head)

    def _is_unfinished_with(self, data: bytes) -> bool:
        """The head was found incomplete and `data` does not end it: reading it all again, byte by byte, is dear."""
        return (
            self.head_deadline is not None
            and len(self.unread) + len(data) <= HEAD_LIMIT
            and b"\r\n\r\n" not in self.unread[-3:] + data
        )

    def _give_up_on_head(self) -> None:
        self.head_deadline = None
        if self.stage == IDLE:
            self._refuse(408, "request_timeout", "The head of the request did not arrive in time.")

    @property
    def _is_answered_early(self) -> bool:
        """Nothing is left of its request but a body that nobody wants."""
        return self.stage == READING and self.cycle is not None and self.cycle.response_complete

    def _give_up_on_body_soon(self) -> None:
        self.loop.call_later(self.linger_seconds, self._give_up_on_body)

    def _give_up_on_body(self) -> None:
        if self._is_answered_early:
            self._linger()

    def grow_older(self, seconds: float, limit: float) -> None:
        """Called every few seconds."""
        if self._takes_nothing(seconds, limit):
            self.transport.abort()
        elif self.stage == IDLE:
            self.aged = None
            self.age = 0.0 if self.unsent else self.age + seconds
            if self.age >= limit and not self._has_arrived():
                self.transport.close()
        elif self._is_answered_early:
            # The first look may come right after the answer; a body under way has until the second.
            if self.age:
                self._linger()
            self.age += seconds
        elif self.is_busy:
            self._grow_older_with_request(seconds)

    def _has_arrived(self) -> bool:
        """A service may keep the loop busy for long, which then hears of the time first and of a request after that."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(poll.poll(0))

    def _takes_nothing(self, seconds: float, limit: float) -> bool:
        """The client has not read for long: neither a close nor a way back comes to its end while bytes wait."""
        size = self.transport.get_write_buffer_size()
        if size != self.unsent:
            self.unsent = size
            self.unsent_for = 0.0
        elif size:
            self.unsent_for += seconds
        return bool(size) and self.unsent_for >= limit

    def _grow_older_with_request(self, seconds: float) -> None:
        if self.cycle is not self.aged:
            self.aged = self.cycle
            self.age = 0.0
            return
        self.age += seconds
        limit = self.traffic.request_limit
        if limit is not None and self.age >= limit and self.cycle is not None and not self.cycle.is_endless:
            self._take_too_long(limit)

    def _take_too_long(self, limit: float) -> None:
        cycle = self.cycle
        cycle.is_overdue = True
        self.server_state.total_requests += 1
        if self.fd < 0:
            self.traffic.private_requests += 1
        if cycle.is_on_its_way:
            cycle.disconnected = True
            self.transport.abort()
        elif self.stage == READING and not self.flow.read_paused:
            self._break_off(408, "request_timeout", f"The request did not arrive within {limit:g} seconds.")
        else:
            status_lines.count(cycle.scope[REQUEST_KEY])  # type: ignore[literal-required]
            self._break_off(504, "timeout", f"The service did not answer within {limit:g} seconds.")
        self.traffic.end_task_of(cycle)
