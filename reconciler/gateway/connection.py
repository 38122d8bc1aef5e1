"""One client's connection while the gateway holds it.

The bytes of a request stay in the kernel: they are looked at, not taken, so that a worker reads them as if nobody had
been there before. Only two kinds of bytes are kept here and travel with the connection: those that a worker had read
before it handed the connection back, and the beginning of a head whose rest is awaited.
"""

import socket
from typing import TYPE_CHECKING, Final

from reconciler.inside.head import EMPTY_LINE, HEAD_LIMIT, Head, read_head
from reconciler.inside.passing import send_connection

if TYPE_CHECKING:
    from reconciler.gateway.loop import Deadlines

FIRST_LOOK: Final = 2048
_PEEK: Final = socket.MSG_PEEK | socket.MSG_DONTWAIT


class Gone(Exception):
    """The client has closed, or reset, the connection."""


class Load:
    """What connections brought with them that a worker had read, for as long as they are held."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Connection:
    __slots__ = (
        "_is_unfinished",
        "_taken",
        "drained",
        "fd",
        "has_waited",
        "keep",
        "loads",
        "outgoing",
        "queued",
        "socket",
        "unread",
        "wait",
        "was_away",
        "weight",
    )

    def __init__(self, client: socket.socket, unread: bytes = b"") -> None:
        self.socket = client
        self.fd = client.fileno()
        self.unread = unread
        self.wait: Deadlines[Connection] | None = None
        self.outgoing = b""
        self.keep = False
        self.queued = False
        """It is to be served in the next turn."""
        self.drained = 0
        self.has_waited = False
        """It has waited for a worker for as long as it may."""
        self.was_away = False
        """A worker has had it, and may have set it up to linger."""
        self.loads: tuple[Load, ...] = ()
        """Where `weight` is counted."""
        self.weight = 0
        self._taken = 0
        self._is_unfinished = False

    def count_in(self, *loads: Load) -> None:
        self.loads = loads
        self.weight = len(self.unread)
        for load in loads:
            load.bytes += self.weight

    def count_out(self) -> None:
        for load in self.loads:
            load.bytes -= self.weight
        self.loads = ()

    @property
    def has_begun(self) -> bool:
        """Some of the next request is here."""
        return self._taken < len(self.unread)

    def next_head(self) -> Head | None:
        """The head of the next request; None while it is not all here. Raises `Refused` or `Gone`."""
        if not self.unread:
            head = self._look(b"")
        else:
            kept = self.unread[self._taken : self._taken + HEAD_LIMIT + 1]
            head = self._read(kept) or self._look(kept)
        self._is_unfinished = head is None
        if head is None and self.unread[self._taken :] == EMPTY_LINE:
            self.unread = b""
            self._taken = 0
        return head

    def _look(self, kept: bytes) -> Head | None:
        peeked = self._peek(FIRST_LOOK)
        if len(peeked) == FIRST_LOOK:
            peeked = self._peek(HEAD_LIMIT + 1)
        if not peeked:
            return None
        window = kept + peeked
        head = self._read(window)
        if head is None:
            self._keep(len(peeked))
        elif kept:
            # A worker must find a whole head in the bytes that travel, or it would hand the connection back.
            self._keep(head.length - len(kept))
        return head

    def _read(self, window: bytes) -> Head | None:
        """A client that sends byte by byte is not worth reading its head anew for each."""
        if self._is_unfinished and len(window) <= HEAD_LIMIT and b"\r\n\r\n" not in window:
            return None
        return read_head(window)

    def take(self, length: int) -> None:
        """Consume one request without a body."""
        self.has_waited = False
        from_unread = min(length, len(self.unread) - self._taken)
        self._taken += from_unread
        if self._taken == len(self.unread):
            self.unread = b""
            self._taken = 0
        if length > from_unread:
            self._receive(length - from_unread)

    def _keep(self, length: int) -> None:
        self.unread = self.unread[self._taken :] + self._receive(length)
        self._taken = 0

    def hand_over(self, channel: socket.socket) -> None:
        send_connection(channel, self.socket.fileno(), self.unread[self._taken :] if self._taken else self.unread)

    def _peek(self, size: int) -> bytes:
        try:
            peeked = self.socket.recv(size, _PEEK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise Gone from error
        if not peeked:
            raise Gone
        return peeked

    def _receive(self, length: int) -> bytes:
        """Take what a peek has shown to be there."""
        try:
            taken = self.socket.recv(length, socket.MSG_DONTWAIT)
        except OSError as error:
            raise Gone from error
        if len(taken) != length:
            raise Gone
        return taken
