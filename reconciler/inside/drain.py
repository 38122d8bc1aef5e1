"""The end of what a worker began: connections go back, then requests, background tasks, WebSockets and calls finish.

There is one deadline for all of it. What is not over by then is cut, and counted.
"""

import asyncio
from collections.abc import Callable, Mapping

from .calls import Calls
from .gateways import Gateways
from .traffic import Traffic

CUT_SECONDS = 1.0
PAUSE = 0.01


class Drain:
    def __init__(self, traffic: Traffic, gateways: Gateways | None, calls: Calls | None) -> None:
        self._traffic = traffic
        self._gateways = gateways
        self._calls = calls

    async def carry_out(self, deadline: Callable[[], float], *, stay: bool = False) -> Mapping[str, int]:
        """What had to be cut. A worker that stays may be asked to serve again, and keeps its gateways."""
        traffic = self._traffic
        loop = asyncio.get_running_loop()
        if self._gateways is not None:
            self._gateways.drain()
        traffic.retire()
        # uvicorn's sets of connections and tasks tell nobody when they become empty.
        while not self._is_done() and loop.time() < deadline():  # noqa: ASYNC110
            await asyncio.sleep(PAUSE)
        cut = self._count()
        await self._cut()
        if self._gateways is not None and not stay:
            await self._gateways.take_in_last(CUT_SECONDS)
            self._cut_connections()
            self._gateways.close()
        return cut

    def _is_done(self) -> bool:
        is_idle = self._gateways is None or self._gateways.is_idle
        is_calling = self._calls is not None and self._calls.count > 0
        return is_idle and not is_calling and not self._traffic.state.connections and not self._traffic.state.tasks

    def _count(self) -> dict[str, int]:
        traffic = self._traffic
        requests, websockets = traffic.in_flight, len(traffic.websockets)
        tasks = max(0, len(traffic.state.tasks) - requests - websockets)
        calls = self._calls.count if self._calls is not None else 0
        return {"requests": requests + traffic.stranded, "tasks": tasks, "websockets": websockets, "calls": calls}

    async def _cut(self) -> None:
        traffic = self._traffic
        for websocket in traffic.websockets:
            websocket.shutdown()
        self._cut_connections()
        if self._calls is not None:
            await self._calls.cut(CUT_SECONDS)
        tasks = set(traffic.state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CUT_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CUT_SECONDS)
        await asyncio.sleep(0)

    def _cut_connections(self) -> None:
        for connection in self._traffic.connections:
            connection.cut()
