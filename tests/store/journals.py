"""A journal in a temporary folder, and the few values that every test of it needs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

from reconciler.model.digest import Ingredients
from reconciler.model.failure import Reason
from reconciler.model.names import ReleaseId, ServiceName, WorkerId
from reconciler.model.secret_version import Sealed, SecretVersion, Wrapped
from reconciler.store.journal import Journal, Transaction
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
    return await journal.begin_release(service, ingredients, "main@sha1:1", None, config, at(0))


async def make_live(journal: Journal, service: ServiceName = TASKS, letter: str = "a") -> ReleaseId:
    release = await begin(journal, service, letter)
    for phase in ON_THE_WAY:
        await journal.advance(release, phase, at(1))
    await journal.switch(service, release, at(2))
    return release


async def a_day(journal: Journal) -> None:
    """Something of everything, with things that go again."""
    sync = await journal.begin_sync("push", START)
    live = await make_live(journal)
    await journal.begin_worker(WorkerId(f"{live}.1"), live, "w", "h", at(1))
    await journal.worker_gone(WorkerId(f"{live}.1"), 9, at(2))
    failed = await begin(journal, letter="b")
    await journal.fail(failed, Reason.TESTS_FAILED, "it said \0 and \ud800", at(3))
    await journal.learn(live, report={"of": [1, 2.5, None, True, "ü"]})
    await make_live(journal, REPORTS)
    await journal.forget(REPORTS, at(4))
    await journal.set_source("main@sha1:1", None, START)
    await journal.event("SyncDone", "one started", TASKS, live, sync=sync, data={"kept": 3}, at=at(5))
    await journal.write(_secrets_and_access)
    await journal.finish_sync(sync, "done", at(5), message="one started")


def _secrets_and_access(transaction: Transaction) -> None:
    """Bytes, lists that may be none, and rows that nobody may change."""
    for version in (1, 2):
        sealed = Sealed(b"\0\xff" * version, Wrapped(b"wrapped", "master"))
        transaction.add_secret(SecretVersion("STRIPE_KEY", version, START, "a person", "master", False), sealed)
    transaction.erase_secrets([("STRIPE_KEY", 1)])
    for token, services in (("one", None), ("two", [TASKS])):
        given = {"parent": None, "created_by": "a person", "created_at": START, "expires_at": None}
        transaction.add_token(token, "h", name=token, kind="token", scopes=["read"], services=services, **given)  # type: ignore[arg-type]
    transaction.audit(START, "a person", "PUT /v1/secrets", token=None, service=None, address="::1", status=204)
