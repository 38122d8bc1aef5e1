"""Connections on their way back: those that a worker gives back, and those that it does not take.

They are served like any other, by whichever worker takes them now. A worker gives back what it likes, so only so much
of it is held, and nothing that was not accepted here. Whoever takes nothing for long is stuck, until it has emptied
its queue itself. It refuses to choose who is next to serve them, and to let go of a worker.
"""

import socket
import time
from collections.abc import Callable
from typing import Final

from reconciler.gateway.connections import Connections
from reconciler.gateway.means import Means
from reconciler.gateway.worker import Worker

LOAD_OF_ONE: Final = 8 * 1024 * 1024
LOAD_OF_ALL: Final = 64 * 1024 * 1024
"""So many bytes that workers had read are held for one worker, and for all; what lies in their channels waits."""
NEXT_EMPTYING: Final = 0.1
QUEUE_LOOKS: Final = 10
"""So often a queue is looked at within the time that a connection may wait in it."""


class Returns:
    def __init__(self, means: Means, connections: Connections, retry: Callable[[Worker], None]) -> None:
        """`retry` is told of a worker that is trusted again."""
        self.leaving: set[Worker] = set()
        """Let go of, with something left in their channels."""
        self._patience = means.patience.park
        self.queues = means.loop.deadlines(self._patience / QUEUE_LOOKS, self._look_at_queue)
        """Of workers that were sent something: they may not have taken it yet."""
        self._emptying = means.loop.deadlines(NEXT_EMPTYING, self.empty)
        self._counts = means.counts
        self._aside = means.aside
        self._has_room = means.has_room
        self._port = means.port
        self._connections = connections
        self._retry = retry

    def has_room_for(self, worker: Worker) -> bool:
        carried = self._connections.load.bytes
        return worker.load.bytes < LOAD_OF_ONE and carried < LOAD_OF_ALL and self._has_room()

    def take_back(self, worker: Worker, fd: int, unread: bytes, *, has_waited: bool = False) -> None:
        client = self._client_connection(fd)
        if client is None:
            self._counts.foreign += 1
        else:
            self._connections.take_back(client, unread, worker.load, has_waited=has_waited)

    def _client_connection(self, fd: int) -> socket.socket | None:
        """The connection behind `fd`, if it is one that was accepted here and lives; otherwise `fd` is closed."""
        try:
            client = socket.socket(fileno=fd)
        except OSError:
            self._aside.close(fd)
            return None
        if _is_accepted_here(client, self._port):
            return client
        self._aside.close(client.detach())
        return None

    def empty(self, worker: Worker) -> None:
        """Give others what it has not taken: as much as there is room for, and the rest a little later."""
        is_leaving = worker in self.leaving
        while self.has_room_for(worker):
            waiting = worker.left_over() if is_leaving else worker.not_taken()
            if waiting is None:
                if is_leaving:
                    self.leaving.remove(worker)
                    worker.close()
                return
            self._counts.rerouted += 1
            self.take_back(worker, *waiting)
        self._emptying.start(worker)

    def part(self, worker: Worker) -> None:
        """Empty its channel for good, however long that takes; it is closed when nothing is left."""
        self.queues.stop(worker)
        self._emptying.stop(worker)
        worker.part()
        self.leaving.add(worker)
        self.empty(worker)

    def _look_at_queue(self, worker: Worker) -> None:
        """A worker that has taken nothing for long is stuck: others serve its queue, or its clients are told.

        It is trusted again when it has emptied its queue itself, if only of a probe: no client has to wait to find out.
        """
        now = time.monotonic()
        wait = worker.longest_wait(now)
        if wait is None:
            self._trust(worker)
            return
        self.queues.start(worker)
        if wait > self._patience:
            worker.stuck = True
        if worker.is_probed:
            return
        while wait is not None and wait > self._patience and self.has_room_for(worker):
            waiting = worker.not_taken()
            if waiting is None:
                return
            self._counts.rerouted += 1
            self.take_back(worker, *waiting, has_waited=True)
            wait = worker.longest_wait(now)
        if wait is None:
            worker.probe()

    def _trust(self, worker: Worker) -> None:
        was_stuck, worker.stuck, worker.is_probed = worker.stuck, False, False
        if was_stuck:
            self._retry(worker)


def _is_accepted_here(client: socket.socket, port: int | None) -> bool:
    if client.type != socket.SOCK_STREAM:
        return False
    try:
        client.getpeername()
        name = client.getsockname()
    except OSError:
        return False
    if client.family == socket.AF_UNIX or port is None:
        return client.family == socket.AF_UNIX and port is None
    return client.family in (socket.AF_INET, socket.AF_INET6) and bool(name[1] == port)
