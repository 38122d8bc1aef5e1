"""The gateway's event loop: readiness of descriptors and lengths of time, nothing else.

A connection passes through the gateway in some tens of microseconds, most of them without ever being waited for, so
the loop has no tasks, futures or transports. It refuses to run anything that blocks.
"""

import logging
import selectors
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE

Ready = Callable[[int], None]
T = TypeVar("T")

log = logging.getLogger(__name__)


class Deadlines(Generic[T]):
    """Things that wait for the same length of time, so that the first to come is the first to be due."""

    def __init__(self, seconds: float, expire: Callable[[T], None]) -> None:
        self.seconds = seconds
        self._expire = expire
        self._due: OrderedDict[T, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, waiting: T) -> bool:
        return waiting in self._due

    def start(self, waiting: T) -> None:
        self._due.pop(waiting, None)
        self._due[waiting] = time.monotonic() + self.seconds

    def stop(self, waiting: T) -> None:
        self._due.pop(waiting, None)

    def all(self) -> list[T]:
        return list(self._due)

    def first(self) -> float | None:
        return next(iter(self._due.values())) if self._due else None

    def expire(self, now: float) -> None:
        while self._due:
            waiting, due = next(iter(self._due.items()))
            if due > now:
                return
            del self._due[waiting]
            self._expire(waiting)


class Loop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._ready: dict[int, Ready] = {}
        self._soon: deque[Callable[[], None]] = deque()
        self._deadlines: list[Deadlines[Any]] = []
        self._stopped = False

    def watch(self, fd: int, ready: Ready, events: int = READ) -> None:
        if fd in self._ready:
            self._selector.modify(fd, events)
        else:
            self._selector.register(fd, events)
        self._ready[fd] = ready

    def forget(self, fd: int) -> None:
        """Needed before every close: another process may hold the same connection, and then epoll would keep it."""
        if self._ready.pop(fd, None) is not None:
            self._selector.unregister(fd)

    def soon(self, call: Callable[[], None]) -> None:
        self._soon.append(call)

    def deadlines(self, seconds: float, expire: Callable[[T], None]) -> Deadlines[T]:
        deadlines = Deadlines(seconds, expire)
        self._deadlines.append(deadlines)
        return deadlines

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        while not self._stopped:
            self._turn()

    def _turn(self) -> None:
        for key, events in self._selector.select(self._patience()):
            # An earlier event of this turn may have closed this descriptor, and another may have its number by now:
            # whoever watches must bear to be called in vain.
            ready = self._ready.get(key.fd)
            if ready is not None:
                self._safely(key.fd, ready, events)
        for _ in range(len(self._soon)):
            self._safely(-1, self._soon.popleft())
        now = time.monotonic()
        for deadlines in self._deadlines:
            self._safely(-1, deadlines.expire, now)

    def _patience(self) -> float | None:
        if self._soon:
            return 0
        firsts = [first for deadlines in self._deadlines if (first := deadlines.first()) is not None]
        return max(0.0, min(firsts) - time.monotonic()) if firsts else None

    def _safely(self, fd: int, call: Callable[..., None], *arguments: object) -> None:
        """A bug in what concerns one descriptor is logged whole, and does not concern the others."""
        try:
            call(*arguments)
        except Exception:
            log.exception("The gateway has a bug and goes on")
            if fd >= 0:
                self.forget(fd)
