"""The gateway's process: `python -m reconciler.gateway --listen-fd N --lifeline-fd L --run RUN`.

It is started by the supervisor, which owns the listening socket and holds the other end of the lifeline: when that
closes, the platform is gone and so is this process. Until control has sent a table it accepts nothing.
"""

import argparse
import gc
import os
import resource
import signal
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from reconciler.gateway.aside import Aside
from reconciler.gateway.counts import Counts
from reconciler.gateway.listener import Listener
from reconciler.gateway.loop import Loop
from reconciler.gateway.means import Means
from reconciler.gateway.orders import Orders
from reconciler.gateway.patience import Patience
from reconciler.gateway.services import Services
from reconciler.log import configure, keep

DESCRIPTORS_PER_WORKER: Final = 3
SPARE_DESCRIPTORS: Final = 32
QUEUE_SHARE: Final = 8
"""What waits for one worker may be so small a part of what the kernel lets be under way for all."""
LOOK_AROUND: Final = 0.05
USUAL: Final = Patience()


@dataclass(frozen=True, slots=True)
class Arguments:
    listen_fd: int
    lifeline_fd: int
    run: Path
    patience: Patience
    grace: float
    log: Path | None


class Gateway:
    """Everything connected to everything, and the end of it."""

    def __init__(self, arguments: Arguments) -> None:
        listening = socket.socket(fileno=arguments.listen_fd)
        self._descriptors = _raise_descriptor_limit()
        self._loop = Loop()
        self._counts = Counts()
        self._aside = Aside()
        self._stopping = False
        self._listener = Listener(listening, self._loop, self._admit, self._has_room_to_accept)
        means = Means(
            self._loop,
            arguments.patience,
            self._counts,
            self._aside,
            has_room=self._has_room_to_take_back,
            queue=self._descriptors // QUEUE_SHARE,
            port=self._listener.port,
        )
        self._services = Services(means)
        self._connections = self._services.connections
        self._grace = self._loop.deadlines(arguments.grace, Loop.stop)
        self._end = self._loop.deadlines(LOOK_AROUND, Gateway._stop_when_empty)
        self._orders = Orders(
            arguments.run / "gateway.sock",
            self._loop,
            self._services,
            open_door=self._open_door,
            close_door=self._close_door,
            count=self._count,
        )
        self._loop.watch(arguments.lifeline_fd, lambda _: self._loop.stop())
        self._signals = _signals_of_the_end()
        self._loop.watch(self._signals, lambda _: self._terminate())

    def run(self) -> None:
        gc.freeze()
        self._loop.run()

    def _admit(self, client: socket.socket) -> None:
        self._counts.accepted += 1
        self._connections.admit(client)

    def _open_door(self) -> None:
        if not self._connections.closing:
            self._listener.open()

    def _close_door(self) -> None:
        self._listener.close()
        self._connections.close_idle()

    def _terminate(self) -> None:
        """Accept no more and end with the last connection, or when the grace is over; told twice, at once."""
        os.read(self._signals, 1)
        if self._stopping:
            self._loop.stop()
            return
        self._stopping = True
        self._close_door()
        self._grace.start(self._loop)
        self._stop_when_empty()

    def _stop_when_empty(self) -> None:
        """Workers that still drain may hand connections back, so they count as well."""
        if len(self._connections) or self._services.worker_count or self._services.leaving_count:
            self._end.start(self)
        else:
            self._loop.stop()

    def _held(self) -> int:
        workers = self._services.worker_count + self._services.leaving_count
        return len(self._connections) + DESCRIPTORS_PER_WORKER * workers + len(self._aside)

    def _has_room_to_take_back(self) -> bool:
        return self._held() < self._descriptors - SPARE_DESCRIPTORS

    def _has_room_to_accept(self) -> bool:
        """Connections that workers hand back could not wait in the kernel, so some room is theirs."""
        return self._held() < self._descriptors * 7 // 8 - SPARE_DESCRIPTORS

    def _count(self) -> dict[str, int]:
        return asdict(self._counts) | {
            "held": len(self._connections),
            "idle": self._connections.idle,
            "routes": len(self._services),
            "workers": self._services.worker_count,
        }


def _raise_descriptor_limit() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS calls the hard limit infinite and then refuses it
        return soft
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def _signals_of_the_end() -> int:
    """A descriptor that becomes readable when a signal asks for the end; an interrupt is the supervisor's to notice."""
    receiving, sending = os.pipe()
    os.set_blocking(receiving, False)
    os.set_blocking(sending, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.write(sending, b"."))
    return receiving


def _arguments() -> Arguments:
    parser = argparse.ArgumentParser(prog="reconciler.gateway", description=__doc__)
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--lifeline-fd", type=int, required=True)
    parser.add_argument("--run", type=Path, required=True, help="the private folder for gateway.sock")
    parser.add_argument("--head-deadline", type=float, default=USUAL.head)
    parser.add_argument("--idle-deadline", type=float, default=USUAL.idle)
    parser.add_argument("--park-deadline", type=float, default=USUAL.park)
    parser.add_argument("--ending-deadline", type=float, default=USUAL.ending)
    parser.add_argument("--grace", type=float, default=10.0, help="seconds that SIGTERM leaves to what is held")
    parser.add_argument("--log", type=Path, help="the folder in which the platform keeps what it says")
    given = parser.parse_args()
    patience = Patience(given.head_deadline, given.idle_deadline, given.park_deadline, given.ending_deadline)
    return Arguments(given.listen_fd, given.lifeline_fd, given.run, patience, given.grace, given.log)


if __name__ == "__main__":
    configure()
    arguments = _arguments()
    if arguments.log is not None:
        keep(arguments.log, "gateway")
    Gateway(arguments).run()
