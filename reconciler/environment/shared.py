"""Work that several ask for and one does.

Whoever joins hears its progress. It is given up only when everybody who asked has gone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from reconciler.model.progress import Progress

T = TypeVar("T")


@dataclass(slots=True)
class _UnderWay(Generic[T]):
    task: asyncio.Task[T]
    listeners: list[Progress] = field(default_factory=list)


class Shared(Generic[T]):
    def __init__(self) -> None:
        self._under_way: dict[str, _UnderWay[T]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._under_way

    async def join(self, key: str, work: Callable[[Progress], Awaitable[T]], progress: Progress) -> T:
        ours = self._under_way.get(key) or self._begin(key, work)
        ours.listeners.append(progress)
        try:
            return await asyncio.shield(ours.task)
        finally:
            ours.listeners.remove(progress)
            if not ours.listeners and not ours.task.done():
                await self._give_up(key, ours)

    async def close(self) -> None:
        for key, ours in list(self._under_way.items()):
            await self._give_up(key, ours)

    def _begin(self, key: str, work: Callable[[Progress], Awaitable[T]]) -> _UnderWay[T]:
        listeners: list[Progress] = []

        def tell(line: str) -> None:
            for listener in tuple(listeners):
                listener(line)

        async def run() -> T:
            return await work(tell)

        ours = _UnderWay(asyncio.create_task(run()), listeners)
        self._under_way[key] = ours
        ours.task.add_done_callback(lambda task: self._ended(key, task))
        return ours

    def _ended(self, key: str, task: asyncio.Task[T]) -> None:
        if (ours := self._under_way.get(key)) is not None and ours.task is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # whoever asked may be gone; asyncio would complain that nobody looked

    async def _give_up(self, key: str, ours: _UnderWay[T]) -> None:
        self._under_way.pop(key, None)
        ours.task.cancel()
        await asyncio.wait({ours.task})
