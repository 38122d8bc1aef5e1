"""The workers that are attached: sent connections, listened to, and let go when they end or cannot be trusted.

What a worker says counts from the moment it is heard. Whoever says much, or gives much back, is heard bit by bit, so
that the others have their turn. It refuses to know whose worker it is: whether to send it a connection is not decided
here, and when it can take some again, or is lost, somebody else is told.
"""

import errno
import functools
import logging
from collections.abc import Callable
from typing import Final

from reconciler.gateway.connection import Connection
from reconciler.gateway.connections import Connections
from reconciler.gateway.loop import READ, WRITE
from reconciler.gateway.means import Means
from reconciler.gateway.returns import Returns
from reconciler.gateway.table import WorkerAddress
from reconciler.gateway.worker import Worker

RETURNS_IN_A_ROW: Final = 64
NEXT_RETURN: Final = 0.1
NEXT_SENDING: Final = 0.05
NEXT_HEARING: Final = 0.01
_OUT_OF_RESOURCES: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC))

log = logging.getLogger(__name__)


class Workers:
    def __init__(
        self,
        means: Means,
        connections: Connections,
        *,
        retry: Callable[[Worker], None],
        lose: Callable[[Worker], None],
    ) -> None:
        """`retry` is told of a worker that may take connections again, `lose` of one that is let go."""
        self.attached: dict[WorkerAddress, Worker] = {}
        self._loop = loop = means.loop
        self._crowded = loop.deadlines(NEXT_RETURN, self._watch_channel)
        self._talkative = loop.deadlines(NEXT_HEARING, self._listen_to)
        self._unsent = loop.deadlines(NEXT_SENDING, self._try_again)
        self._returns = Returns(means, connections, retry)
        self.leaving = self._returns.leaving
        self._queues = self._returns.queues
        self._counts = means.counts
        self._aside = means.aside
        self._queue = means.queue
        self._connections = connections
        self._retry = retry
        self._lose = lose

    def attach(self, address: WorkerAddress) -> Worker:
        """An `OSError` says that the worker is not there."""
        return self.attached.get(address) or self._meet(address)

    def _meet(self, address: WorkerAddress) -> Worker:
        worker = Worker(address, self._aside, self._queue)
        self.attached[address] = worker
        self._listen_to(worker)
        self._loop.watch(worker.channel.fileno(), functools.partial(self._channel_moves, worker))
        return worker

    def send(self, connection: Connection, worker: Worker) -> bool:
        """False: the worker does not take it, and the connection is still ours."""
        try:
            taken = worker.send(connection.hand_over)
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                worker.willing = False
                self._loop.soon(functools.partial(self._let_go, worker))
            return False
        except ValueError:
            self._connections.drop(connection)
            return True
        if not taken:
            if worker.is_crowded:
                self._unsent.start(worker)
            else:
                self._watch_channel(worker)
            return False
        self._counts.handed += 1
        if worker not in self._queues:
            self._queues.start(worker)
        self._connections.release(connection)
        return True

    def _listen_to(self, worker: Worker) -> None:
        self._loop.watch(worker.control.fileno(), functools.partial(self._hear, worker))

    def _hear(self, worker: Worker, _: int) -> None:
        was_willing = worker.willing
        try:
            alive = worker.hear()
        except ValueError as error:
            log.warning("a worker is let go", extra={"worker": worker.address.worker, "error": error})
            alive = False
        if not alive:
            self._let_go(worker)
            return
        if worker.says_more:
            self._loop.forget(worker.control.fileno())
            self._talkative.start(worker)
        if was_willing and not worker.willing:
            # It has looked at its channel for the last time: what was sent since would wait for its end.
            self._returns.empty(worker)

    def _channel_moves(self, worker: Worker, events: int) -> None:
        if events & WRITE:
            worker.try_again()
            self._watch_channel(worker)
            self._retry(worker)
        if events & READ:
            self._receive_from(worker)

    def _try_again(self, worker: Worker) -> None:
        worker.try_again()
        self._retry(worker)

    def _watch_channel(self, worker: Worker) -> None:
        events = READ | WRITE if worker.full and not worker.is_crowded else READ
        self._loop.watch(worker.channel.fileno(), functools.partial(self._channel_moves, worker), events)

    def _receive_from(self, worker: Worker) -> None:
        for _ in range(RETURNS_IN_A_ROW):
            if not self._returns.has_room_for(worker):
                self._loop.forget(worker.channel.fileno())
                self._crowded.start(worker)
                return
            try:
                returned = worker.returned()
            except BlockingIOError:
                return
            except (ValueError, OSError) as error:
                log.warning("a worker is let go", extra={"worker": worker.address.worker, "error": error})
                self._let_go(worker)
                return
            self._counts.returned += 1
            self._returns.take_back(worker, *returned)

    def _let_go(self, worker: Worker) -> None:
        """The worker is dead or not to be trusted: what it has not taken goes to others."""
        if self.attached.pop(worker.address, None) is None:
            return
        worker.willing = False
        self._crowded.stop(worker)
        self._unsent.stop(worker)
        self._talkative.stop(worker)
        self._loop.forget(worker.control.fileno())
        self._loop.forget(worker.channel.fileno())
        self._lose(worker)
        self._returns.part(worker)
