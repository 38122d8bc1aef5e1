"""The table at work: whose request it is, and which of its workers gets the connection.

Everything happens in one thread and between two turns of the loop, so a swap of the table is atomic: once `swap`
has returned, no connection is sent to a worker that the table does not name. Connections of a service that has no
worker, or only full ones, are parked for a while. It refuses to start or stop workers; it only attaches to them.
"""

import errno
import functools
import logging
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from reconciler.gateway import answers
from reconciler.gateway.answers import Answer
from reconciler.gateway.aside import Aside
from reconciler.gateway.connection import Connection
from reconciler.gateway.connections import Connections, Patience
from reconciler.gateway.counts import Counts
from reconciler.gateway.loop import READ, WRITE, Loop
from reconciler.gateway.table import Live, Route, Table, Unready, WorkerAddress
from reconciler.gateway.worker import Worker
from reconciler.inside.head import Head, service_prefix

PARK_LIMIT: Final = 1024
LOAD_OF_ONE: Final = 8 * 1024 * 1024
LOAD_OF_ALL: Final = 64 * 1024 * 1024
"""So many bytes that workers had read are held for one worker, and for all; what lies in their channels waits."""
RETURNS_IN_A_ROW: Final = 64
NEXT_RETURN: Final = 0.1
NEXT_SENDING: Final = 0.05
NEXT_HEARING: Final = 0.01
NEXT_MEETING: Final = 0.25
"""A worker of a route that could not be attached is tried again for as long as the route names it."""
QUEUE_LOOKS: Final = 10
"""So often a queue is looked at within the time that a connection may wait in it."""
_OUT_OF_RESOURCES: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC))
_IS_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}").fullmatch

log = logging.getLogger(__name__)


class Service:
    """A live route, with the workers that are attached."""

    def __init__(self, route: Live, workers: list[Worker]) -> None:
        self.route = route
        self.workers = workers
        self.turn = 0

    def next_worker(self) -> Worker | None:
        for _ in self.workers:
            self.turn = (self.turn + 1) % len(self.workers)
            worker = self.workers[self.turn]
            if worker.takes_connections:
                return worker
        return None

    def lacks(self, address: WorkerAddress) -> bool:
        """The route names it, and it is not attached."""
        return address in self.route.workers and all(worker.address != address for worker in self.workers)


class Services:
    def __init__(
        self,
        loop: Loop,
        patience: Patience,
        counts: Counts,
        aside: Aside,
        *,
        has_room: Callable[[], bool],
        queue: int,
        port: int | None,
    ) -> None:
        """About `queue` connections may wait for one worker."""
        self.connections = Connections(loop, patience, counts, self.place, aside)
        self._aside = aside
        self._loop = loop
        self._patience = patience
        self._counts = counts
        self._has_room = has_room
        self._queue = queue
        self._port = port
        self._mount = b"/"
        self._former_mounts: frozenset[bytes] = frozenset()
        """Mounts that have been left and still have routes: services move one by one."""
        self._complete = False
        self._routes: dict[bytes, Service | Unready] = {}
        self._workers: dict[WorkerAddress, Worker] = {}
        self._parked: dict[bytes, deque[Connection]] = {}
        self._parking = loop.deadlines(patience.park, self._park_is_over)
        self._crowded = loop.deadlines(NEXT_RETURN, self._watch_channel)
        self._talkative = loop.deadlines(NEXT_HEARING, self._listen_to)
        self._unsent = loop.deadlines(NEXT_SENDING, self._try_again)
        self._queues = loop.deadlines(patience.park / QUEUE_LOOKS, self._look_at_queue)
        self._leaving: set[Worker] = set()
        """Let go of, with something left in their channels."""
        self._emptying = loop.deadlines(NEXT_RETURN, self._empty)
        self._missed = loop.deadlines(NEXT_MEETING, self._meet_again)
        self._lost = loop.deadlines(patience.park, self._meet_again)

    def __len__(self) -> int:
        return len(self._routes)

    @property
    def worker_count(self) -> int:
        return len(self._workers)

    @property
    def leaving_count(self) -> int:
        return len(self._leaving)

    # --- the table ---

    def swap(self, table: Table) -> list[WorkerAddress]:
        """Obey a whole table; returns the workers that could not be attached yet."""
        failed: list[WorkerAddress] = []
        named = {prefix.encode(): route for prefix, route in table.routes.items()}
        routes = {prefix: self._run_time(prefix, route, failed) for prefix, route in named.items()}
        self._attach(table.draining, failed)
        self._complete = table.complete
        self._routes = routes
        self.mount(table.mount)
        for prefix in tuple(self._parked):
            self._retry(prefix)
        return failed

    def swap_one(self, prefix: str, route: Route | None, draining: Iterable[WorkerAddress]) -> list[WorkerAddress]:
        failed: list[WorkerAddress] = []
        key = prefix.encode()
        self._attach(draining, failed)
        if route is None:
            self._routes.pop(key, None)
        else:
            self._routes[key] = self._run_time(key, route, failed)
        if self._former_mounts or _mount_of(key) != self._mount:
            self._find_former_mounts()
        self._retry(key)
        return failed

    def mount(self, mount: str) -> None:
        self._mount = ("/" + mount.strip("/")).encode()
        self._find_former_mounts()

    def _find_former_mounts(self) -> None:
        self._former_mounts = frozenset(map(_mount_of, self._routes)) - {self._mount}

    def _run_time(self, prefix: bytes, route: Route, failed: list[WorkerAddress]) -> Service | Unready:
        if not isinstance(route, Live):
            return route
        missed: list[WorkerAddress] = []
        workers = self._attach(route.workers, missed)
        for address in missed:
            self._missed.start((prefix, address))
        failed += missed
        return Service(route, workers)

    def _attach(self, addresses: Iterable[WorkerAddress], failed: list[WorkerAddress]) -> list[Worker]:
        attached = []
        for address in addresses:
            try:
                attached.append(self._workers.get(address) or self._meet(address))
            except OSError as error:
                log.warning("a worker cannot be attached", extra={"worker": address.worker, "error": error})
                failed.append(address)
        return attached

    def _meet_again(self, missing: tuple[bytes, WorkerAddress]) -> None:
        """Control says a route once, so whoever it names belongs to it until it says another one."""
        prefix, address = missing
        service = self._routes.get(prefix)
        if not isinstance(service, Service) or not service.lacks(address):
            return
        try:
            service.workers.append(self._workers.get(address) or self._meet(address))
        except OSError:
            self._missed.start(missing)
        else:
            self._retry(prefix)

    def _meet(self, address: WorkerAddress) -> Worker:
        worker = Worker(address, self._aside, self._queue)
        self._workers[address] = worker
        self._listen_to(worker)
        self._loop.watch(worker.channel.fileno(), functools.partial(self._channel_moves, worker))
        return worker

    # --- a request ---

    def place(self, connection: Connection, head: Head) -> bool:
        if head.target == b"*":
            return self.connections.answer(connection, head, answers.methods())
        prefix = self._prefix_of(head.path)
        if prefix is None:
            return self.connections.answer(connection, head, answers.not_found(None))
        route = self._routes.get(prefix)
        if isinstance(route, Service):
            return self._give(connection, head, prefix, route)
        answer = self._of_unknown(prefix) if route is None else answers.of_route(route)
        return self.connections.answer(connection, head, answer)

    def _prefix_of(self, path: bytes) -> bytes | None:
        prefix = service_prefix(path, self._mount)
        if prefix in self._routes:
            return prefix
        former = (service_prefix(path, mount) for mount in self._former_mounts)
        return next((one for one in former if one in self._routes), prefix)

    def _of_unknown(self, prefix: bytes) -> Answer:
        name = prefix[prefix.rfind(b"/") + 1 :].decode("latin-1")
        service = name if _IS_NAME(name) else None
        return answers.not_found(service) if self._complete or service is None else answers.not_yet(service)

    def _give(self, connection: Connection, head: Head, prefix: bytes, service: Service) -> bool:
        for _ in tuple(service.workers):
            worker = service.next_worker()
            if worker is not None and self._send(connection, worker):
                return False
        return self._park(connection, head, prefix, service)

    def _send(self, connection: Connection, worker: Worker) -> bool:
        try:
            taken = worker.send(connection.hand_over)
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                worker.willing = False
                self._loop.soon(functools.partial(self._let_go, worker))
            return False
        except ValueError:
            self.connections.drop(connection)
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
        self.connections.release(connection)
        return True

    # --- parking ---

    def _park(self, connection: Connection, head: Head, prefix: bytes, service: Service) -> bool:
        parked = self._parked.setdefault(prefix, deque())
        if connection.has_waited or len(parked) >= PARK_LIMIT:
            return self.connections.answer(connection, head, _shortage(service))
        if connection.wait is not self._parking:
            self._counts.parked += 1
        self.connections.hold(connection, self._parking)
        parked.append(connection)
        return False

    def _retry(self, prefix: bytes) -> None:
        """Serve the parked connections again, first come first served, until one of them has to wait again."""
        waiting = self._parked.pop(prefix, None)
        while waiting:
            self.connections.serve(waiting.popleft())
            if prefix in self._parked:
                self._parked[prefix].extend(waiting)
                return

    def _park_is_over(self, connection: Connection) -> None:
        connection.has_waited = True
        for prefix, parked in tuple(self._parked.items()):
            if connection in parked:  # as a rule the first of its queue
                parked.remove(connection)
                if not parked:
                    del self._parked[prefix]
        self.connections.serve(connection)

    def _retry_services_of(self, worker: Worker) -> None:
        for prefix in tuple(self._parked):
            route = self._routes.get(prefix)
            if isinstance(route, Service) and worker in route.workers:
                self._retry(prefix)

    # --- workers ---

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
            self._empty(worker)

    def _empty(self, worker: Worker) -> None:
        """Give others what it has not taken: as much as there is room for, and the rest a little later."""
        is_leaving = worker in self._leaving
        while self._has_room_for(worker):
            waiting = worker.left_over() if is_leaving else worker.not_taken()
            if waiting is None:
                if is_leaving:
                    self._leaving.remove(worker)
                    worker.close()
                return
            self._counts.rerouted += 1
            self._take_back(worker, *waiting)
        self._emptying.start(worker)

    def _channel_moves(self, worker: Worker, events: int) -> None:
        if events & WRITE:
            worker.try_again()
            self._watch_channel(worker)
            self._retry_services_of(worker)
        if events & READ:
            self._receive_from(worker)

    def _try_again(self, worker: Worker) -> None:
        worker.try_again()
        self._retry_services_of(worker)

    def _watch_channel(self, worker: Worker) -> None:
        events = READ | WRITE if worker.full and not worker.is_crowded else READ
        self._loop.watch(worker.channel.fileno(), functools.partial(self._channel_moves, worker), events)

    def _receive_from(self, worker: Worker) -> None:
        for _ in range(RETURNS_IN_A_ROW):
            if not self._has_room_for(worker):
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
            self._take_back(worker, *returned)

    def _has_room_for(self, worker: Worker) -> bool:
        carried = self.connections.load.bytes
        return worker.load.bytes < LOAD_OF_ONE and carried < LOAD_OF_ALL and self._has_room()

    def _take_back(self, worker: Worker, fd: int, unread: bytes, *, has_waited: bool = False) -> None:
        client = self._client_connection(fd)
        if client is None:
            self._counts.foreign += 1
        else:
            self.connections.take_back(client, unread, worker.load, has_waited=has_waited)

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

    def _let_go(self, worker: Worker) -> None:
        """The worker is dead or not to be trusted: what it has not taken goes to others."""
        if self._workers.pop(worker.address, None) is None:
            return
        worker.willing = False
        self._queues.stop(worker)
        self._crowded.stop(worker)
        self._emptying.stop(worker)
        self._unsent.stop(worker)
        self._talkative.stop(worker)
        self._loop.forget(worker.control.fileno())
        self._loop.forget(worker.channel.fileno())
        for prefix, route in self._routes.items():
            if isinstance(route, Service) and worker in route.workers:
                route.workers.remove(worker)
                self._lost.start((prefix, worker.address))
        worker.part()
        self._leaving.add(worker)
        self._empty(worker)

    def _look_at_queue(self, worker: Worker) -> None:
        """A worker that has taken nothing for long is stuck: others serve its queue, or its clients are told.

        It is trusted again when it has emptied its queue itself, if only of a probe: no client has to wait to find out.
        """
        now = time.monotonic()
        wait = worker.longest_wait(now)
        if wait is None:
            self._trust(worker)
            return
        self._queues.start(worker)
        if wait > self._patience.park:
            worker.stuck = True
        if worker.is_probed:
            return
        while wait is not None and wait > self._patience.park and self._has_room_for(worker):
            waiting = worker.not_taken()
            if waiting is None:
                return
            self._counts.rerouted += 1
            self._take_back(worker, *waiting, has_waited=True)
            wait = worker.longest_wait(now)
        if wait is None:
            worker.probe()

    def _trust(self, worker: Worker) -> None:
        was_stuck, worker.stuck, worker.is_probed = worker.stuck, False, False
        if was_stuck:
            self._retry_services_of(worker)


def _shortage(service: Service) -> Answer:
    has_worker = any(worker.willing for worker in service.workers)
    return answers.busy(service.route.service) if has_worker else answers.no_worker(service.route.service)


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


def _mount_of(prefix: bytes) -> bytes:
    return prefix[: prefix.rfind(b"/")] or b"/"
