"""The table at work: whose request it is, and which of its workers gets the connection.

Everything happens in one thread and between two turns of the loop, so a swap of the table is atomic: once `swap`
has returned, no connection is sent to a worker that the table does not name. Connections of a service that has no
worker, or only full ones, are parked for a while. It refuses to start or stop workers; it only attaches to them.
"""

import logging
import re
from collections import deque
from collections.abc import Iterable
from typing import Final

from reconciler.gateway import answers
from reconciler.gateway.answers import Answer
from reconciler.gateway.connection import Connection
from reconciler.gateway.connections import Connections
from reconciler.gateway.means import Means
from reconciler.gateway.table import Live, Route, Table, Unready, WorkerAddress
from reconciler.gateway.worker import Worker
from reconciler.gateway.workers import Workers
from reconciler.inside.head import Head
from reconciler.inside.prefix import service_prefix

PARK_LIMIT: Final = 1024
NEXT_MEETING: Final = 0.25
"""A worker of a route that could not be attached is tried again for as long as the route names it."""
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
    def __init__(self, means: Means) -> None:
        self.connections = Connections(means, self.place)
        self._counts = means.counts
        self._mount = b"/"
        self._former_mounts: frozenset[bytes] = frozenset()
        """Mounts that have been left and still have routes: services move one by one."""
        self._complete = False
        self._routes: dict[bytes, Service | Unready] = {}
        self._parked: dict[bytes, deque[Connection]] = {}
        self._parking = means.loop.deadlines(means.patience.park, self._park_is_over)
        self._workers = Workers(means, self.connections, retry=self._retry_services_of, lose=self._lose)
        self._missed = means.loop.deadlines(NEXT_MEETING, self._meet_again)
        self._lost = means.loop.deadlines(means.patience.park, self._meet_again)

    def __len__(self) -> int:
        return len(self._routes)

    @property
    def worker_count(self) -> int:
        return len(self._workers.attached)

    @property
    def leaving_count(self) -> int:
        return len(self._workers.leaving)

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
                attached.append(self._workers.attach(address))
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
            service.workers.append(self._workers.attach(address))
        except OSError:
            self._missed.start(missing)
        else:
            self._retry(prefix)

    def _lose(self, worker: Worker) -> None:
        """Its routes go on naming it, so it is met again a little later."""
        for prefix, route in self._routes.items():
            if isinstance(route, Service) and worker in route.workers:
                route.workers.remove(worker)
                self._lost.start((prefix, worker.address))

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
            if worker is not None and self._workers.send(connection, worker):
                return False
        return self._park(connection, head, prefix, service)

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


def _shortage(service: Service) -> Answer:
    has_worker = any(worker.willing for worker in service.workers)
    return answers.busy(service.route.service) if has_worker else answers.no_worker(service.route.service)


def _mount_of(prefix: bytes) -> bytes:
    return prefix[: prefix.rfind(b"/")] or b"/"
