"""Control's line to the gateway: it sends tables and routes, one JSON object per line, and is told when they are true.

One client at a time, the newest wins: when control died and came back, its old line may look alive for a while.
A client that sends anything else is dropped, and nothing else happens to the gateway.
"""

import contextlib
import functools
import json
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from reconciler.gateway.loop import Loop
from reconciler.gateway.services import Services
from reconciler.gateway.table import Table, WorkerAddress, route_from_json, workers_from_json

LINE_LIMIT: Final = 64 * 1024 * 1024
_STEP: Final = 256 * 1024

Order = dict[str, Any]


class Orders:
    def __init__(
        self,
        path: Path,
        loop: Loop,
        services: Services,
        *,
        open_door: Callable[[], None],
        close_door: Callable[[], None],
        count: Callable[[], dict[str, int]],
    ) -> None:
        self._loop = loop
        self._services = services
        self._open_door = open_door
        self._close_door = close_door
        self._count = count
        self._client: socket.socket | None = None
        self._incoming = bytearray()
        self._listening = _listen(path)
        self._obey: dict[object, Callable[[Order], Order]] = {
            "table": self._table,
            "route": self._route,
            "mount": self._mount,
            "close": self._close,
            "stats": self._stats,
        }
        loop.watch(self._listening.fileno(), self._accept)

    def _accept(self, _: int) -> None:
        with contextlib.suppress(OSError):
            client, _address = self._listening.accept()
            self._drop()
            client.setblocking(False)
            self._client = client
            self._loop.watch(client.fileno(), functools.partial(self._read, client))

    def _read(self, client: socket.socket, _: int) -> None:
        try:
            chunk = client.recv(_STEP)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        scanned = len(self._incoming)
        self._incoming += chunk
        if not chunk or len(self._incoming) > LINE_LIMIT:
            self._drop()
        elif self._incoming.find(b"\n", scanned) >= 0:
            *lines, rest = self._incoming.split(b"\n")
            self._incoming = rest
            self._obey_all(client, lines)

    def _obey_all(self, client: socket.socket, lines: Iterable[bytes | bytearray]) -> None:
        for line in lines:
            try:
                order = json.loads(line)
                reply = self._obey[order["op"]](order) | {"id": order.get("id")}
                client.sendall(json.dumps(reply).encode() + b"\n")
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError):
                self._drop()
                return

    def _drop(self) -> None:
        self._incoming = bytearray()
        if self._client is not None:
            self._loop.forget(self._client.fileno())
            self._client.close()
            self._client = None

    def _table(self, order: Order) -> Order:
        failed = self._services.swap(Table.from_json(order))
        self._open_door()
        return _done(failed)

    def _route(self, order: Order) -> Order:
        route = None if order["route"] is None else route_from_json(order["route"])
        return _done(self._services.swap_one(order["prefix"], route, workers_from_json(order.get("draining", []))))

    def _mount(self, order: Order) -> Order:
        self._services.mount(order["mount"])
        return _done(())

    def _close(self, _: Order) -> Order:
        self._close_door()
        return _done(())

    def _stats(self, _: Order) -> Order:
        return {"op": "stats"} | self._count()


def _done(failed: Iterable[WorkerAddress]) -> Order:
    return {"op": "done", "failed": [address.worker for address in failed]}


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen(8)
    listening.setblocking(False)
    return listening
