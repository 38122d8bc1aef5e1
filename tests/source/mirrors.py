"""A mirror that follows a repository for as long as one scenario, and the one file that most tests look at."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from reconciler.source.mirror import Bounds, Mirror
from reconciler.source.tree import Tree

T = TypeVar("T")
TASKS = "services/tasks/router.py"


def following(
    source: Path | str,
    place: Path,
    scenario: Callable[[Mirror], Awaitable[T]],
    *,
    branch: str = "main",
    **bounds: float,
) -> T:
    async def play() -> T:
        mirror = Mirror(source, branch, place, bounds=Bounds(**bounds))  # type: ignore[arg-type]
        try:
            await mirror.open()
            return await scenario(mirror)
        finally:
            await mirror.close()

    return asyncio.run(play())


def content(tree: Tree) -> bytes | None:
    return tree.blob(TASKS, 1000)
