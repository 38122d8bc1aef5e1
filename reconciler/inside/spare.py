"""A worker in waiting: forked before anybody asks for it, warm, and nobody's yet.

A fork takes two milliseconds, and what is forked is slow at first, because every page that it writes to is copied then.
Done beforehand, both keep nobody waiting. It writes to what every worker writes to, and to no page more, since it would
keep that for good. It has seen no service and knows no secret until it is told whose it is; it never outlives the stem.
"""

import contextlib
import gc
import os
import socket
from collections.abc import Callable, Sequence
from typing import NoReturn

from . import kernel
from .rehearsal import make_one_route

PASSED = 4


class Spare:
    """As the stem sees it."""

    def __init__(self, pid: int, way: socket.socket) -> None:
        self.pid = pid
        self._way = way

    @classmethod
    def bear(cls, forget: Callable[[], None], become: Callable[..., NoReturn]) -> "Spare":
        """Raises OSError where there can be no further process; one worker less to wait for is no harm."""
        ours, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            ours.close()
            forget()
            _wait(theirs, become)
        theirs.close()
        return cls(pid, ours)

    def give(self, fds: Sequence[int]) -> bool:
        """Tell it whose it is. False when it is not there any more."""
        with contextlib.closing(self._way):
            try:
                socket.send_fds(self._way, [b"!"], fds)
            except OSError:
                return False
        return True

    def dismiss(self) -> None:
        """It ends by itself."""
        self._way.close()


def _wait(way: socket.socket, become: Callable[..., NoReturn]) -> NoReturn:
    try:
        kernel.rename("spare")
        with contextlib.suppress(Exception):
            # A framework that refuses this route may still take the service's.
            make_one_route()
        # The collector is off, and what is frozen is not visited: this is the rehearsal's own litter.
        gc.collect()
        told, fds, _, _ = socket.recv_fds(way, 1, PASSED)
        way.close()
        if told:
            become(*fds)
    finally:
        os._exit(0)
