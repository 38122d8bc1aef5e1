"""All client connections that the gateway holds: those whose request is not all here, and those it answers itself.

Whatever waits, waits under a deadline: the head of a request, an idle connection, an answer that the client does not
take. It refuses to decide whose request it is; that is `place`, which either takes the connection or has it answered.
"""

import functools
import logging
import socket
from collections.abc import Callable
from typing import Final

from reconciler.gateway import answers
from reconciler.gateway.answers import Answer
from reconciler.gateway.aside import close_without_lingering
from reconciler.gateway.connection import Connection, Gone, Load
from reconciler.gateway.loop import READ, WRITE, Deadlines
from reconciler.gateway.means import Means
from reconciler.inside.head import Head, Refused

Place = Callable[[Connection, Head], bool]
"""True: the request was answered here, and the next one may be looked at."""

IN_A_ROW: Final = 16
"""So many requests of one connection are answered before the others have their turn."""
DRAIN_LIMIT: Final = 1024 * 1024
_DRAIN_STEP: Final = 64 * 1024

log = logging.getLogger(__name__)


class Connections:
    def __init__(self, means: Means, place: Place) -> None:
        self.closing = False
        self.load = Load()
        self._loop = loop = means.loop
        self._counts = means.counts
        self._aside = means.aside
        self._place = place
        self._held: set[Connection] = set()
        self._heads = loop.deadlines(means.patience.head, self._head_is_overdue)
        self._idle = loop.deadlines(means.patience.idle, self.drop)
        self._ending = loop.deadlines(means.patience.ending, self.drop)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def idle(self) -> int:
        return len(self._idle)

    def admit(self, client: socket.socket) -> None:
        """A new connection: its head has to come in time, counted from now."""
        connection = Connection(client)
        self._held.add(connection)
        self.serve(connection)

    def take_back(self, client: socket.socket, unread: bytes, load: Load, *, has_waited: bool) -> None:
        """A connection between two requests: it may be idle for long."""
        connection = Connection(client, unread)
        connection.was_away = True
        connection.count_in(load, self.load)
        connection.has_waited = has_waited
        self._held.add(connection)
        self._wait(connection, self._idle)
        self.serve(connection)

    def serve(self, connection: Connection) -> None:
        """Look at its requests. A bug ends this connection only: one event of the listener or a channel serves many."""
        if connection not in self._held:
            return
        try:
            self._serve_in_a_row(connection)
        except Exception:
            log.exception("The gateway has a bug and drops a connection")
            self._counts.dropped += 1
            self.drop(connection)

    def _serve_in_a_row(self, connection: Connection) -> None:
        """One request after the other until the connection has to wait, or is somebody else's."""
        for _ in range(IN_A_ROW):
            try:
                head = connection.next_head()
                if head is None:
                    self._await_more(connection)
                    return
                if not self._place(connection, head):
                    return
            except Refused as refused:
                self._counts.refused += 1
                self.answer(connection, None, answers.refusal(refused))
                return
            except Gone:
                self.drop(connection)
                return
        self._queue(connection)

    def hold(self, connection: Connection, wait: Deadlines[Connection]) -> None:
        """Keep a connection whose request is all here until `wait` is over or somebody serves it."""
        self._loop.forget(connection.fd)
        if connection.wait is not wait:
            self._wait(connection, wait)

    def release(self, connection: Connection) -> None:
        """Somebody else has the connection now: close our copy of it, whose number may soon be another client's."""
        if not self._forget(connection):
            return
        if connection.was_away:
            close_without_lingering(connection.socket)
        else:
            connection.socket.close()

    def drop(self, connection: Connection) -> None:
        """This is its end, unless a worker has kept a copy."""
        if not self._forget(connection):
            return
        if connection.was_away:
            self._aside.close(connection.socket.detach())
        else:
            connection.socket.close()

    def _forget(self, connection: Connection) -> bool:
        if connection not in self._held:
            return False
        self._held.remove(connection)
        self._loop.forget(connection.fd)
        if connection.wait is not None:
            connection.wait.stop(connection)
        connection.fd = -1
        if connection.loads:
            connection.count_out()
        return True

    def answer(self, connection: Connection, head: Head | None, answer: Answer) -> bool:
        """Say it; True when the client may go on to its next request on this connection."""
        keep = head is not None and head.bodyless and head.keep_alive and not head.version10 and not self.closing
        if head is not None and keep:
            connection.take(head.length)
        connection.keep = keep
        connection.outgoing = answer.render(keep=keep, with_body=head is None or head.method != b"HEAD")
        return self._send(connection)

    def close_idle(self) -> None:
        """From now on nothing is kept alive. A request that has arrived meanwhile is still served."""
        self.closing = True
        for connection in (*self._idle.all(), *self._heads.all()):
            self.serve(connection)

    def _queue(self, connection: Connection) -> None:
        """Let the others have their turn. Meanwhile it is not watched, or it would be served twice."""
        self._loop.forget(connection.fd)
        if not connection.queued:
            connection.queued = True
            self._loop.soon(functools.partial(self._serve_queued, connection))

    def _serve_queued(self, connection: Connection) -> None:
        connection.queued = False
        if connection.wait in (self._idle, self._heads):
            self.serve(connection)

    def _readable(self, connection: Connection, _: int) -> None:
        self.serve(connection)

    def _await_more(self, connection: Connection) -> None:
        has_begun = connection.has_begun
        if self.closing and not has_begun:
            self._linger(connection)
            return
        is_between_requests = connection.wait is self._idle and not has_begun
        if not is_between_requests and connection.wait is not self._heads:
            self._wait(connection, self._heads)
        self._loop.watch(connection.fd, functools.partial(self._readable, connection))

    def _wait(self, connection: Connection, wait: Deadlines[Connection]) -> None:
        if connection.wait is not None:
            connection.wait.stop(connection)
        connection.wait = wait
        wait.start(connection)

    def _head_is_overdue(self, connection: Connection) -> None:
        if connection.has_begun:
            self._counts.refused += 1
            self.answer(connection, None, answers.too_slow())
        else:
            self.drop(connection)

    def _send(self, connection: Connection) -> bool:
        try:
            sent = connection.socket.send(connection.outgoing, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.drop(connection)
            return False
        connection.outgoing = connection.outgoing[sent:]
        if connection.outgoing:
            self.hold(connection, self._ending)
            self._loop.watch(connection.fd, functools.partial(self._writable, connection), WRITE)
            return False
        if not connection.keep:
            self._linger(connection)
            return False
        self._counts.answered += 1
        if connection.wait is not self._idle:
            self._wait(connection, self._idle)
        return True

    def _writable(self, connection: Connection, _: int) -> None:
        self._loop.forget(connection.fd)
        if self._send(connection):
            self.serve(connection)

    def _linger(self, connection: Connection) -> None:
        """Close so that the client can read the answer: with its bytes unread, the kernel would send a reset."""
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(connection)
            return
        self._wait(connection, self._ending)
        self._drain(connection, READ)

    def _drain(self, connection: Connection, _: int) -> None:
        try:
            taken = len(connection.socket.recv(_DRAIN_STEP, socket.MSG_DONTWAIT))
        except BlockingIOError:
            self._loop.watch(connection.fd, functools.partial(self._drain, connection))
            return
        except OSError:
            taken = 0
        connection.drained += taken
        if not taken or connection.drained > DRAIN_LIMIT:
            self.drop(connection)
        else:
            self._loop.watch(connection.fd, functools.partial(self._drain, connection))
