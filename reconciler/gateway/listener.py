"""Accept connections from the listening socket that the supervisor owns.

It refuses to accept what it could not hold: near the limit of descriptors, connections wait in the kernel's queue.
"""

import errno
import socket
from collections.abc import Callable
from typing import Final

from reconciler.gateway.loop import Loop

BATCH: Final = 64
PAUSE: Final = 0.1
_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Listener:
    def __init__(
        self,
        listening: socket.socket,
        loop: Loop,
        admit: Callable[[socket.socket], None],
        has_room: Callable[[], bool],
    ) -> None:
        self._socket = listening
        self._loop = loop
        self._admit = admit
        self._has_room = has_room
        self._open = False
        self._paused = loop.deadlines(PAUSE, Listener._resume)
        listening.setblocking(False)
        _set_options(listening)

    @property
    def port(self) -> int | None:
        """None for a Unix socket, which has none."""
        return None if self._socket.family == socket.AF_UNIX else int(self._socket.getsockname()[1])

    def open(self) -> None:
        self._open = True
        self._loop.watch(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more; the socket itself lives on in the supervisor."""
        self._open = False
        self._loop.forget(self._socket.fileno())

    def _accept(self, _: int) -> None:
        for _ in range(BATCH):
            if not self._has_room():
                self._pause()
                return
            try:
                client, _address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause()
                    return
                continue  # that client has gone already
            self._admit(client)

    def _pause(self) -> None:
        self._loop.forget(self._socket.fileno())
        self._paused.start(self)

    def _resume(self) -> None:
        if self._open:
            self.open()


def _set_options(listening: socket.socket) -> None:
    """Linux gives accepted sockets the options of the listening one."""
    if listening.family == socket.AF_UNIX:
        return
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_DEFER_ACCEPT"):
        # Wake up when the request is there, not when the handshake is done; a silent client comes a second later.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
