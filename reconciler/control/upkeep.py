"""What nobody needs any more is removed, and nothing that somebody may still need.

Kept are the live release of each service, the ones before it that it could go back to, whatever is being
prepared, and the environments and secrets of all these. Runs behind a finished sync, looks only at services that the
sync changed, and is in nobody's way.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path

from reconciler.control.deployment import Workshop
from reconciler.control.lane import Lane
from reconciler.control.recipe import Recipe
from reconciler.model.failure import Failure
from reconciler.model.names import EnvironmentId, ServiceName
from reconciler.worker.zygotes import Zygotes

Lanes = Callable[[], Iterable[Lane]]
PARTIAL = ".partial"
STORE = "store"
PRUNE_EVERY = 24 * 3600.0
STRAYS_GONE_AFTER = 120.0
"""Seconds. By then whoever a former control sent away has finished, out of a folder that may be nobody's any more."""

log = logging.getLogger(__name__)


class Upkeep:
    def __init__(self, shop: Workshop, zygotes: Zygotes, lanes: Lanes) -> None:
        self._shop = shop
        self._zygotes = zygotes
        self._lanes = lanes
        self._one_at_a_time = asyncio.Lock()
        self._prune_at = 0.0
        self._sweep_at = time.monotonic() + STRAYS_GONE_AFTER

    async def tidy(self, changed: Iterable[ServiceName]) -> None:
        async with self._one_at_a_time:
            removed = [await self._remove_releases(name) for name in (*changed, *await self._left_behind())]
            if any(removed):
                in_use = self._in_use()
                self._zygotes.stop_others(in_use)
                # Asked anew only about those that are about to go: meanwhile somebody may have come to need one.
                await self._shop.environments.collect(lambda one: one in in_use or one in self._in_use())
                await self._prune()
            if self._shop.store.superseded():
                await self._erase_secrets()

    async def _left_behind(self) -> list[ServiceName]:
        """Services that are no more, of which a former control did not live to remove the rest. Asked for once."""
        if time.monotonic() < self._sweep_at:
            return []
        self._sweep_at = inf
        found = await asyncio.to_thread(_folders, self._shop.folders.releases)
        known = {lane.name for lane in self._lanes()}
        return [ServiceName(folder.name) for folder in found if folder.name not in known]

    async def _prune(self) -> None:
        """Once a day, and not while anybody may need what is about to go."""
        now = time.monotonic()
        if now < self._prune_at or self._shop.preparing.total():
            return
        self._prune_at = now + PRUNE_EVERY
        try:
            await self._shop.environments.prune()
        except Failure as failure:
            log.warning("the cache could not be pruned", extra={"reason": failure.message})

    async def _remove_releases(self, name: ServiceName) -> int:
        home = self._shop.folders.releases / name
        # Listed before asking who is needed: what is begun meanwhile is not in the list.
        found = await asyncio.to_thread(_folders, home)
        needed = {release for lane in self._lanes() if lane.name == name for release in lane.needed}
        spare = [folder for folder in found if _release_of(folder) not in needed]
        for folder in spare:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return len(spare)

    async def _erase_secrets(self) -> None:
        """Values that no release would get any more, and none that is kept was made with."""
        releases = {release for lane in self._lanes() for release in lane.needed}
        found = await self._shop.journal.write(lambda entries: [entries.release(release) for release in releases])
        pinned = (secret for row in found if row is not None for secret in Recipe.from_plain(row.config).secrets)
        needed = {(one.place, int(one.version)) for one in pinned if one.provider == STORE}
        await self._shop.store.erase_unneeded(needed)

    def _in_use(self) -> frozenset[EnvironmentId]:
        preparing = {one for one, count in self._shop.preparing.items() if count}
        return frozenset(one for lane in self._lanes() for one in lane.environments) | preparing


def _folders(home: Path) -> list[Path]:
    return [folder for folder in home.iterdir() if folder.is_dir()] if home.is_dir() else []


def _release_of(folder: Path) -> str:
    """Also of one that is just being written, beside its place."""
    name = folder.name
    return name[1:].removesuffix(PARTIAL) if name.startswith(".") else name
