"""A journal in a temporary folder, and the few values that every test of it needs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

from reconciler.model.digest import Ingredients
from reconciler.model.names import ReleaseId, ServiceName
from reconciler.store.journal import Journal
from reconciler.store.rows import Phase

T = TypeVar("T")

TASKS = ServiceName("tasks")
REPORTS = ServiceName("reports")
START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ON_THE_WAY = (Phase.MATERIALISED, Phase.INSTALLED, Phase.STARTED, Phase.TESTED, Phase.SWITCHING)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def code(letter: str) -> Ingredients:
    return Ingredients(letter * 40)


@dataclass(frozen=True)
class InDatabase:
    """A journal of which nothing but a database is left each time that it is closed."""

    folder: Path
    url: str


Place = Path | InDatabase


def in_journal(place: Place, scenario: Callable[[Journal], Awaitable[T]]) -> T:
    """Open the journal, play the scenario, close it again."""

    async def play() -> T:
        journal = journal_at(place)
        await journal.open()
        try:
            return await scenario(journal)
        finally:
            await journal.close()

    return asyncio.run(play())


def journal_at(place: Place) -> Journal:
    if isinstance(place, Path):
        return Journal(place)
    return Journal(Path(mkdtemp(dir=place.folder)) / "journal.db", place.url)


async def begin(journal: Journal, service: ServiceName = TASKS, letter: str = "a") -> ReleaseId:
    ingredients = code(letter)
    config = {"entry": "router:router"}
    return await journal.begin_release(service, ingredients.digest, ingredients, "main@sha1:1", None, config, at(0))


async def make_live(journal: Journal, service: ServiceName = TASKS, letter: str = "a") -> ReleaseId:
    release = await begin(journal, service, letter)
    for phase in ON_THE_WAY:
        await journal.advance(release, phase, at(1))
    await journal.switch(service, release, at(2))
    return release
