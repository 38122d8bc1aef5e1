"""A worker as the gateway sees it: a control socket that tells whether it lives, and a channel for connections.

The gateway keeps a copy of the worker's end of the channel. When the worker dies, or takes nothing any more, the
connections it has not taken are taken back through that copy, and none is lost.

It refuses to trust a worker: what does not fit is a `ValueError`, and the gateway lets go of that worker.
"""

import contextlib
import json
import socket
from array import array
from collections.abc import Callable
from typing import Any, Final

from reconciler.gateway.aside import Aside
from reconciler.gateway.connection import Load
from reconciler.gateway.table import WorkerAddress
from reconciler.inside.passing import (
    CROWDED,
    MOST_DESCRIPTORS,
    channel_pair,
    descriptors_in,
    oldest_wait,
    receive_connection,
    send_connection,
    shorten_queue,
)

LINE_LIMIT: Final = 256 * 1024
HEARD_AT_ONCE: Final = 2 * 1024
"""Some twenty usual messages. A worker says few things in its life, and others wait while it is listened to."""
_UNWILLING: Final = frozenset(("draining", "failed", "stopped"))


class Worker:
    def __init__(self, address: WorkerAddress, aside: Aside, queue: int) -> None:
        """Attach, and let about `queue` connections wait for it; an `OSError` says that the worker is not there."""
        self.address = address
        self.willing = True
        """It may receive connections, as far as it says itself."""
        self.stuck = False
        self.is_probed = False
        """In its queue is nothing but a connection that is nobody's."""
        self.full = False
        self.is_crowded = False
        """Full as all are: too much is under way, and its channel would call itself writable all the while."""
        self.says_more = False
        """There was more to hear than is heard at once."""
        self.load = Load()
        """What the connections that it gave back have brought along."""
        self._incoming = b""
        self._aside = aside
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.control.setblocking(False)
            self.control.connect(address.socket)
            self.channel, self._far_end = channel_pair()
            shorten_queue(self.channel, queue)
            self._attach()
        except OSError:
            self.control.close()
            raise

    def _attach(self) -> None:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [self._far_end.fileno()]))
        try:
            self.control.sendmsg((b'{"op":"attach"}\n',), (rights,))
        except OSError:
            self.channel.close()
            self._far_end.close()
            raise

    @property
    def takes_connections(self) -> bool:
        return self.willing and not self.stuck and not self.full

    def send(self, hand_over: Callable[[socket.socket], None]) -> bool:
        """Whether the channel took it. What is sent is in the channel for good: the sender may close its copy."""
        try:
            hand_over(self.channel)
        except BlockingIOError as full:
            self.full = True
            self.is_crowded = full.errno in CROWDED
            return False
        return True

    def try_again(self) -> None:
        self.full = self.is_crowded = False

    def probe(self) -> None:
        """Send it a connection that has ended: it only has to take it."""
        with contextlib.suppress(OSError):
            ended, other = socket.socketpair()
            other.close()
            with ended:
                send_connection(self.channel, ended.fileno(), b"")
            self.is_probed = True

    def returned(self) -> tuple[int, bytes]:
        """The next connection that the worker hands back; `BlockingIOError` when there is none."""
        received = receive_connection(self.channel, self._aside.close)
        if received is None:
            raise ValueError("a worker has closed its channel")
        return received

    def longest_wait(self, now: float) -> float | None:
        return oldest_wait(self._far_end, now)

    def not_taken(self) -> tuple[int, bytes] | None:
        """Take one connection back that the worker has not taken."""
        return self._next_in(self._far_end)

    def hear(self) -> bool:
        """Read what the worker says of itself; False at the end of it, which is the end of the worker."""
        try:
            chunk, passed, _, _ = self.control.recvmsg(HEARD_AT_ONCE, MOST_DESCRIPTORS)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if fds := descriptors_in(passed):
            for fd in fds:
                self._aside.close(fd)
            raise ValueError("a worker passes descriptors where it is to speak")
        self.says_more = len(chunk) == HEARD_AT_ONCE
        *lines, self._incoming = (self._incoming + chunk).split(b"\n")
        for line in lines:
            self._note(_message(line))
        if len(self._incoming) > LINE_LIMIT:
            raise ValueError("a worker sends a line without end")
        return bool(chunk)

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("op") in ("hello", "state"):
            self.willing = str(message.get("state")) not in _UNWILLING

    def part(self) -> None:
        """A worker that lives cannot add to the channel any more; what lies in it is to be taken out."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)

    def left_over(self) -> tuple[int, bytes] | None:
        """After the parting: what one side has sent and the other has not taken, one by one."""
        return self._next_in(self.channel) or self._next_in(self._far_end)

    def close(self) -> None:
        # The kernel closes with them what still lies in them.
        for end in (self.channel, self._far_end, self.control):
            self._aside.close(end.detach())

    def _next_in(self, end: socket.socket) -> tuple[int, bytes] | None:
        while True:
            try:
                return receive_connection(end, self._aside.close)
            except ValueError:
                continue
            except OSError:
                return None


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except RecursionError:
        message = None
    if not isinstance(message, dict):
        raise ValueError("a worker sends something that is no message")
    return message
