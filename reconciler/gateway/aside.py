"""Close, in a thread of its own, what a worker had in its hands.

A close waits where a socket lingers for bytes that nobody takes, or where a file system does not answer. No flag
forbids it, and whoever shares a socket can make it linger at any moment; so this thread waits, and not the gateway.
It refuses to say when something is closed.
"""

import contextlib
import os
import socket
import struct
import threading
from queue import SimpleQueue
from typing import Final

_NO_LINGERING: Final = struct.pack("ii", 0, 0)


class Aside:
    def __init__(self) -> None:
        self._left: SimpleQueue[int] = SimpleQueue()
        threading.Thread(target=self._close_all, name="aside", daemon=True).start()

    def __len__(self) -> int:
        """So many descriptors are open that nobody needs."""
        return self._left.qsize()

    def close(self, fd: int) -> None:
        self._left.put(fd)

    def _close_all(self) -> None:
        while True:
            fd = self._left.get()
            with contextlib.suppress(OSError):
                _close(fd)


def _close(fd: int) -> None:
    try:
        shared = socket.socket(fileno=fd)
    except OSError:  # it is no socket
        os.close(fd)
    else:
        close_without_lingering(shared)


def close_without_lingering(shared: socket.socket) -> None:
    """What is not sent yet is sent while nobody waits. Only who sets it again at this very moment delays the close."""
    with shared, contextlib.suppress(OSError):
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
