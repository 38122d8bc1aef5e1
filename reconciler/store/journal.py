"""The journal: what control writes down before and after it acts.

Each call is one transaction in the journal's own thread, in the order the calls were made, and durable when
its await returns; only what comes from outside, a webhook or the wish for a sync, goes ahead of what waits.
`write` puts several together. `later` keeps the order but nobody waits: it is for what may be lost in a crash
without making the next start wrong, which is events and notes, never an intent.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from reconciler.store import spool
from reconciler.store.access import AccessEntries
from reconciler.store.commits import CommitEntries
from reconciler.store.courier import Courier, Destination, Standing
from reconciler.store.events import EventEntries
from reconciler.store.opening import open_database
from reconciler.store.project import Project
from reconciler.store.runs import RunEntries
from reconciler.store.secrets import SecretEntries
from reconciler.store.services import ServiceEntries
from reconciler.store.spool import DATABASE, SUPABASE, Spool
from reconciler.store.syncs import SyncEntries
from reconciler.store.webhooks import WebhookEntries
from reconciler.store.workers import WorkerEntries
from reconciler.store.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")


class Transaction(
    SyncEntries,
    ServiceEntries,
    WorkerEntries,
    RunEntries,
    SecretEntries,
    AccessEntries,
    CommitEntries,
    EventEntries,
    WebhookEntries,
):
    """Everything that can be read and written, inside one transaction."""


def _alone(
    entry: Callable[Concatenate[Transaction, P], T], *, ahead: bool = False
) -> Callable[Concatenate["Journal", P], Coroutine[Any, Any, T]]:
    """The same call on the journal, as a transaction of its own."""

    async def call(journal: "Journal", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await journal.write(lambda transaction: entry(transaction, *args, **kwargs), ahead=ahead)

    call.__name__ = entry.__name__
    call.__doc__ = entry.__doc__
    return call


class Journal:
    def __init__(self, path: Path, database: str | None = None, supabase: Project | None = None) -> None:
        """In a file; `database` is the URL of the one whose journal it is, `supabase` a project that is told of it."""
        self._path = path
        self._database = database
        self._supabase = supabase
        self._writer = Writer(self._connect, self._changed)
        self._destinations: dict[str, Destination] = {}
        self._couriers: tuple[Courier, ...] = ()

    async def open(self) -> None:
        """Raises `StoreUnusable` when there is no using it; never starts empty over a broken one."""
        await asyncio.wrap_future(self._writer.start())
        self._couriers = tuple(
            Courier(name, destination, Spool(partial(self._writer.submit, quietly=True), name))
            for name, destination in self._destinations.items()
        )
        for courier in self._couriers:
            courier.start()

    async def close(self) -> None:
        """Write what is waiting, tell who is to be told, and let go of the file."""
        await asyncio.to_thread(self._stop)

    def standings(self) -> tuple[Standing, ...]:
        """How those stand who are told of every change."""
        return tuple(courier.standing for courier in self._couriers)

    async def write(self, step: Callable[[Transaction], T], *, ahead: bool = False) -> T:
        """Carry out a few entries as one transaction: all durable when this returns, or none."""
        future = self._writer.submit(_on_connection(step), ahead=ahead)
        # Whoever stops waiting must not take the step back: it may be carried out already.
        return await asyncio.shield(asyncio.wrap_future(future))

    def later(self, step: Callable[[Transaction], object]) -> None:
        """Carry out entries in their turn, without waiting; a crash within the next instant may lose them."""
        self._writer.later(_on_connection(step))

    begin_sync = _alone(Transaction.begin_sync, ahead=True)
    start_sync = _alone(Transaction.start_sync)
    record_revision = _alone(Transaction.record_revision)
    finish_sync = _alone(Transaction.finish_sync)
    sync = _alone(Transaction.sync)
    syncs = _alone(Transaction.syncs)
    unfinished_syncs = _alone(Transaction.unfinished_syncs)

    begin_release = _alone(Transaction.begin_release)
    advance = _alone(Transaction.advance)
    learn = _alone(Transaction.learn)
    fail = _alone(Transaction.fail)
    release = _alone(Transaction.release)
    releases = _alone(Transaction.releases)
    releases_before = _alone(Transaction.releases_before)
    unfinished = _alone(Transaction.unfinished)
    failed_digests = _alone(Transaction.failed_digests)
    forgive = _alone(Transaction.forgive)

    note_service = _alone(Transaction.note_service)
    switch = _alone(Transaction.switch)
    forget = _alone(Transaction.forget)
    service = _alone(Transaction.service)
    services = _alone(Transaction.services)
    source = _alone(Transaction.source)
    set_source = _alone(Transaction.set_source)

    begin_worker = _alone(Transaction.begin_worker)
    worker_started = _alone(Transaction.worker_started)
    worker_gone = _alone(Transaction.worker_gone)
    workers = _alone(Transaction.workers)
    workers_begun = _alone(Transaction.workers_begun)

    secret_versions = _alone(Transaction.secret_versions)
    sealed_secret = _alone(Transaction.sealed_secret)
    add_secret = _alone(Transaction.add_secret)
    erase_secrets = _alone(Transaction.erase_secrets)
    wrapped_keys = _alone(Transaction.wrapped_keys)
    set_wrapped_keys = _alone(Transaction.set_wrapped_keys)
    add_token = _alone(Transaction.add_token)
    tokens = _alone(Transaction.tokens)
    revoke_tokens = _alone(Transaction.revoke_tokens)
    audit = _alone(Transaction.audit)
    audits = _alone(Transaction.audits)
    receive = _alone(Transaction.receive, ahead=True)
    cause = _alone(Transaction.cause)
    owing = _alone(Transaction.owing)
    webhook = _alone(Transaction.webhook)
    webhooks = _alone(Transaction.webhooks)

    commits = _alone(Transaction.commits)

    settle_jobs = _alone(Transaction.settle_jobs)
    begin_runs = _alone(Transaction.begin_runs)
    change_runs = _alone(Transaction.change_runs)
    run = _alone(Transaction.run)
    runs = _alone(Transaction.runs)

    event = _alone(Transaction.event)
    event_of = _alone(Transaction.event_of)
    events = _alone(Transaction.events)
    last_events = _alone(Transaction.last_events)

    def _connect(self) -> Connection:
        connection = open_database(self._path)
        try:
            self._appoint(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _appoint(self, connection: Connection) -> None:
        """Bring file and database to the same, and write down from now on what others have to be told."""
        names = [name for name, given in ((DATABASE, self._database), (SUPABASE, self._supabase)) if given]
        with connection.begin():
            spool.keep_to(connection, names)
        if self._database is not None:
            # Imported by those who have one: the driver takes its time.
            from reconciler.store.keeping import Keeping

            self._destinations[DATABASE] = keeping = Keeping(self._database)
            keeping.claim(connection)
        if self._supabase is not None:
            from reconciler.store.supabase import SupabaseMirror

            self._destinations[SUPABASE] = SupabaseMirror(self._supabase)
        if names:
            with connection.begin():
                spool.watch(connection, names)

    def _changed(self) -> None:
        for courier in self._couriers:
            courier.wake()

    def _stop(self) -> None:
        # Together: each may wait for somebody who does not answer.
        with ThreadPoolExecutor(max(1, len(self._couriers))) as pool:
            list(pool.map(Courier.stop, self._couriers))
        self._writer.stop()


def _on_connection(step: Callable[[Transaction], T]) -> Callable[[Connection], T]:
    return lambda connection: step(Transaction(connection))
