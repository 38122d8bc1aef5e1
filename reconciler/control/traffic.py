"""What the gateway should know, and telling it.

Control holds the wish; the gateway holds the table. A gateway that was away is sent the whole wish when it
returns, so nobody has to remember what it missed. Every change is in the wish before it is sent.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.gateway.client import GatewayClient
from reconciler.gateway.table import Live, Route, Table, Unready, WorkerAddress
from reconciler.model.names import ServiceName
from reconciler.worker.crew import Crew
from reconciler.worker.worker import Worker

STARTING = "starting"
FEW = 50
"""New routes that are told one by one; the whole table is longer than these."""


class Traffic:
    def __init__(self, run: Path) -> None:
        self._routes: dict[str, Route] = {}
        self._draining: dict[str, WorkerAddress] = {}
        self._complete = False
        self._mount = "/api"
        self._client = GatewayClient(run, self._whole_table)

    async def open(self, lives: Mapping[str, Crew]) -> None:
        """Tell the first whole table. Until every name is known, an unknown one may yet come."""
        self._mount = next((prefix.rpartition("/")[0] or "/" for prefix in lives), self._mount)
        self._routes = {prefix: _live(crew) for prefix, crew in lives.items()}
        await self._client.connect()

    async def know(self, mount: str) -> None:
        """All names are known now, and this is where they are mounted."""
        if (mount, True) == (self._mount, self._complete):
            return
        self._mount, self._complete = mount, True
        await self._tell_all()

    async def introduce(self, services: Mapping[str, ServiceName]) -> None:
        """Services that are known from now on, and cannot answer yet."""
        new = {
            prefix: Unready(name, STARTING, f"{name} is starting")
            for prefix, name in services.items()
            if prefix not in self._routes
        }
        self._routes |= new
        if len(new) > FEW:
            await self._tell_all()
            return
        for prefix, route in new.items():
            await self._client.route(prefix, route)

    async def point(self, prefix: str, crew: Crew) -> None:
        """The switch: when this returns, no connection goes to anybody but these workers."""
        await self._tell(prefix, _live(crew))

    async def refuse(self, prefix: str, service: ServiceName, code: str, message: str) -> None:
        route = Unready(service, code, message)
        if self._routes.get(prefix) != route:
            await self._tell(prefix, route)

    async def remove(self, prefix: str) -> None:
        if self._routes.pop(prefix, None) is not None:
            await self._client.remove(prefix)

    def drain(self, workers: Iterable[Worker]) -> None:
        """These get nothing new from the next change on, but may hand connections back, to a new gateway too."""
        self._draining.update({worker.id: _address(worker) for worker in workers})

    def drained(self, workers: Iterable[Worker]) -> None:
        for worker in workers:
            self._draining.pop(worker.id, None)

    async def close(self) -> None:
        """Accept nothing more: the platform is going down."""
        await self._client.close()

    async def leave(self) -> None:
        """Stop talking; the gateway goes on with the table it has."""
        await self._client.disconnect()

    async def stats(self) -> dict[str, int]:
        return await self._client.stats()

    async def _tell(self, prefix: str, route: Route) -> None:
        self._routes[prefix] = route
        await self._client.route(prefix, route)

    async def _tell_all(self) -> None:
        await self._client.table(await self._whole_table())

    async def _whole_table(self) -> Table:
        return Table(self._mount, dict(self._routes), tuple(self._draining.values()), self._complete)


def _live(crew: Crew) -> Live:
    return Live(crew.spec.service, crew.spec.release, tuple(_address(worker) for worker in crew.ready))


def _address(worker: Worker) -> WorkerAddress:
    return WorkerAddress(worker.id, str(worker.sockets.control))
