"""One client's connection while the gateway holds it.

The bytes of a request stay in the kernel: they are looked at, not taken, so that a worker reads them as if nobody had
been there before. A connection that a worker handed back brings bytes of its own; those come first.
"""

import socket
from typing import TYPE_CHECKING, Final

from reconciler.inside.head import HEAD_LIMIT, Head, read_head
from reconciler.inside.passing import send_connection

if TYPE_CHECKING:
    from reconciler.gateway.loop import Deadlines

FIRST_LOOK: Final = 2048
BRISK_LOOKS: Final = 8
"""So many looks at an unfinished head may follow one another; a client that needs more is looked at on a timer."""

_PEEK: Final = socket.MSG_PEEK | socket.MSG_DONTWAIT


class Gone(Exception):
    """The client has closed, or reset, the connection."""


class Connection:
    __slots__ = (
        "_low_water",
        "_seen",
        "_taken",
        "drained",
        "fd",
        "has_waited",
        "keep",
        "looks",
        "outgoing",
        "socket",
        "unread",
        "wait",
    )

    def __init__(self, client: socket.socket, unread: bytes = b"") -> None:
        self.socket = client
        self.fd = client.fileno()
        self.unread = unread
        self.wait: Deadlines[Connection] | None = None
        self.looks = 0
        self.outgoing = b""
        self.keep = False
        self.drained = 0
        self.has_waited = False
        """It has waited for a worker for as long as it may."""
        self._taken = 0
        self._seen = 0
        self._low_water = 1

    @property
    def has_begun(self) -> bool:
        """Some of the next request is here."""
        return self._seen > 0 or self._taken < len(self.unread)

    def next_head(self) -> Head | None:
        """The head of the next request; None while it is not all here. Raises `Refused` or `Gone`."""
        kept = self.unread[self._taken : self._taken + HEAD_LIMIT + 1] if self.unread else b""
        if kept:
            head = read_head(kept)
            if head is not None:
                return head
        peeked = self._peek(FIRST_LOOK)
        if len(peeked) == FIRST_LOOK:
            peeked = self._peek(HEAD_LIMIT + 1)
        self._seen = len(peeked)
        window = kept + peeked if kept else peeked
        if not window or (self.looks > BRISK_LOOKS and _is_surely_unfinished(window)):
            return None
        head = read_head(window)
        if head is not None and kept:
            # The worker must find a whole head in the bytes that travel, or it would hand the connection back.
            self.unread = self.unread[self._taken :] + self._read(head.length - len(kept))
            self._taken = 0
        return head

    def await_growth(self) -> bool:
        """Be readable only when more is here than was seen; False when that has not helped before."""
        self.looks += 1
        wanted = self._seen + 1
        if self.looks > BRISK_LOOKS or wanted == self._low_water:
            return False
        self._set_low_water(wanted)
        return True

    def take(self, length: int) -> None:
        """Consume one request without a body."""
        self._set_low_water(1)
        self.looks = self._seen = 0
        self.has_waited = False
        from_unread = min(length, len(self.unread) - self._taken)
        self._taken += from_unread
        if self._taken == len(self.unread):
            self.unread = b""
            self._taken = 0
        if length > from_unread:
            self._read(length - from_unread)

    def hand_over(self, channel: socket.socket) -> None:
        self._set_low_water(1)
        send_connection(channel, self.fd, self.unread[self._taken :] if self._taken else self.unread)

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

    def _read(self, length: int) -> bytes:
        """Take what a peek has shown to be there."""
        try:
            taken = self.socket.recv(length, socket.MSG_DONTWAIT)
        except OSError as error:
            raise Gone from error
        if len(taken) != length:
            raise Gone
        return taken

    def _set_low_water(self, low_water: int) -> None:
        if low_water != self._low_water:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low_water)
            self._low_water = low_water


def _is_surely_unfinished(window: bytes) -> bool:
    return len(window) <= HEAD_LIMIT and b"\r\n\r\n" not in window
