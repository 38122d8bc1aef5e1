"""Control's side of the line to the gateway.

The gateway may die and come back at any moment. The client then connects again, sends the whole table anew, and only
then what was asked for meanwhile; so a call waits instead of failing, and what it asked for is true when it returns.
It refuses to know the table itself: `whole_table` is asked for it each time, and must already contain a change when
the call that makes it is started.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final

from reconciler.gateway.table import Route, Table, WorkerAddress
from reconciler.model.names import WorkerId

SOCKET_NAME: Final = "gateway.sock"
FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 0.5
LINE_LIMIT: Final = 16 * 1024 * 1024

Message = dict[str, Any]

log = logging.getLogger(__name__)


class GatewayClient:
    def __init__(self, run: Path, whole_table: Callable[[], Awaitable[Table]]) -> None:
        self._path = run / SOCKET_NAME
        self._whole_table = whole_table
        self._calls: dict[int, _Call] = {}
        self._last_id = 0
        self._writer: asyncio.StreamWriter | None = None
        self._in_step = asyncio.Event()
        self._closing = False
        self._keeping: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Return when there is a gateway and it obeys the whole table; from then on stay connected."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._stay_connected(), name="line to the gateway")
        await self._in_step.wait()

    async def disconnect(self) -> None:
        """Leave the gateway as it is: it goes on with the table it has."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None
        for call in self._calls.values():
            call.reply.cancel()
        self._calls.clear()

    @property
    def is_connected(self) -> bool:
        return self._in_step.is_set()

    async def table(self, table: Table) -> tuple[WorkerId, ...]:
        """Swap the whole table; the workers that could not be attached."""
        return _failed(await self._call({"op": "table"} | table.to_json()))

    async def route(self, prefix: str, route: Route, draining: Iterable[WorkerAddress] = ()) -> tuple[WorkerId, ...]:
        """Swap one route. When this returns, no connection goes to a worker that the route does not name."""
        return _failed(await self._call(_change(prefix, route.to_json(), draining)))

    async def remove(self, prefix: str, draining: Iterable[WorkerAddress] = ()) -> tuple[WorkerId, ...]:
        return _failed(await self._call(_change(prefix, None, draining)))

    async def mount(self, mount: str) -> None:
        await self._call({"op": "mount", "mount": mount})

    async def close(self) -> None:
        """Have the gateway accept no more connections, nor one that comes after it; for the end of the platform."""
        self._closing = True
        await self._call({"op": "close"})

    async def stats(self) -> dict[str, int]:
        reply = await self._call({"op": "stats"})
        return {name: value for name, value in reply.items() if name not in ("op", "id")}

    async def _call(self, order: Message) -> Message:
        call = self._new_call(order)
        try:
            if self._in_step.is_set():
                self._send(call)
            return await call.reply
        finally:
            self._calls.pop(call.id, None)

    def _new_call(self, order: Message) -> "_Call":
        self._last_id += 1
        call = _Call(self._last_id, order)
        self._calls[call.id] = call
        return call

    def _send(self, call: "_Call") -> None:
        if self._writer is not None:
            self._writer.write(call.line)

    async def _stay_connected(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._connect_once()
            except OSError as error:
                if self._in_step.is_set():
                    log.warning("The line to the gateway broke error=%s", error)
            except Exception:
                log.exception("The line to the gateway broke")
            pause = FIRST_PAUSE if self._in_step.is_set() else min(2 * pause, LONGEST_PAUSE)
            self._in_step.clear()
            await asyncio.sleep(pause)

    async def _connect_once(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(str(self._path), limit=LINE_LIMIT)
        try:
            await self._converse(reader)
        finally:
            self._writer.close()
            self._writer = None

    async def _converse(self, reader: asyncio.StreamReader) -> None:
        listening = asyncio.create_task(self._listen(reader))
        bringing = asyncio.create_task(self._bring_in_step())
        try:
            await asyncio.wait((listening, bringing), return_when=asyncio.FIRST_EXCEPTION)
            for task in (bringing, listening):
                if task.done():
                    task.result()
            await listening
        finally:
            for task in (bringing, listening):
                task.cancel()
            await asyncio.gather(bringing, listening, return_exceptions=True)

    async def _bring_in_step(self) -> None:
        """The whole table first; then, in their order, the calls that a lost gateway left unanswered."""
        table = await self._whole_table()
        orders: list[Message] = [{"op": "table"} | table.to_json()]
        if self._closing:
            # First, so that a table does not open the door.
            orders.insert(0, {"op": "close"})
        for order in orders:
            await self._ask_now(order)
        self._in_step.set()
        for call in tuple(self._calls.values()):
            self._send(call)

    async def _ask_now(self, order: Message) -> None:
        call = self._new_call(order)
        try:
            self._send(call)
            await call.reply
        finally:
            self._calls.pop(call.id, None)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = json.loads(line)
            call = self._calls.get(message["id"])
            if call is not None and not call.reply.done():
                call.reply.set_result(message)
        raise ConnectionResetError("the gateway has gone")


class _Call:
    def __init__(self, number: int, order: Message) -> None:
        self.id = number
        self.line = json.dumps(order | {"id": number}).encode() + b"\n"
        self.reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()


def _change(prefix: str, route: Message | None, draining: Iterable[WorkerAddress]) -> Message:
    return {"op": "route", "prefix": prefix, "route": route, "draining": [worker.to_json() for worker in draining]}


def _failed(reply: Message) -> tuple[WorkerId, ...]:
    return tuple(WorkerId(worker) for worker in reply["failed"])
