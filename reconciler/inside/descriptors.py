"""Room for descriptors that are to be received: the kernel drops what a full process cannot take, and a client with it.

So a few are kept in reserve, which are given up just before something is received, and part of the limit is left to
the service's own files. Refuses to decide what happens when there is no room; it only says so.
"""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PACKET: Final = 2
"""A connection, and the file that holds what was read of it."""
LEAST_LEFT: Final = 16
SHARE_LEFT: Final = 8
ROOM_SECONDS: Final = 0.05
"""Between two looks for room: what takes it away and gives it back is the service's own doing as well."""

OUT_OF_RESOURCES: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))


class Reserve:
    """So many descriptors that nobody else can have."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: list[int] = []
        self.refill()

    def refill(self) -> bool:
        """Whether it is complete again."""
        with suppress(OSError):
            while len(self._held) < self._count:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        return len(self._held) == self._count

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Meanwhile there is room; afterwards it is taken again, as far as nothing came."""
        self.release()
        try:
            yield
        finally:
            self.refill()

    def release(self) -> None:
        while self._held:
            os.close(self._held.pop())


def room_for_connections() -> int:
    """How many connections this process may hold: what its limit leaves to it, without the service's own share."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return 1 << 30
    return max(1, limit - _open_now() - max(LEAST_LEFT, limit // SHARE_LEFT))


def _open_now() -> int:
    for folder in (Path("/proc/self/fd"), Path("/dev/fd")):
        with suppress(OSError):
            return sum(1 for _ in folder.iterdir())
    return LEAST_LEFT


def has_room_for_packet(like: int) -> bool:
    """Tried with copies of `like` before each one: another thread of the service may have opened anything meanwhile."""
    taken: list[int] = []
    try:
        while len(taken) < PACKET:
            taken.append(os.dup(like))
    except OSError as error:
        return error.errno not in OUT_OF_RESOURCES
    finally:
        for fd in taken:
            os.close(fd)
    return True
