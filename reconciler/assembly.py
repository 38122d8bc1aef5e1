"""Control put together: every object once, and each with what it stands on.

The order is that of need. What is opened here is closed by the stack, in reverse. Refuses to begin anything: whoever
asked for it says when.
"""

import asyncio
import contextlib
import hashlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from reconciler.control.actions import Actions
from reconciler.control.boot import Remains, close_interrupted_syncs
from reconciler.control.commits import Commits
from reconciler.control.cron import Cron
from reconciler.control.deployment import Workshop
from reconciler.control.feed import Feed
from reconciler.control.folders import Folders
from reconciler.control.gate import Gate, Shelf
from reconciler.control.history import History
from reconciler.control.inbox import Inbox
from reconciler.control.ledger import Ledger
from reconciler.control.loop import Loop
from reconciler.control.memory import remember
from reconciler.control.metrics import Meter, Scrape
from reconciler.control.overview import Overview
from reconciler.control.pace import Pace
from reconciler.control.planning import Planner
from reconciler.control.reading import Reader
from reconciler.control.reception import Announcer, Elsewhere, Reception
from reconciler.control.rewritten import say_rewritten
from reconciler.control.safekeeping import Safekeeping
from reconciler.control.secrets import Secrets
from reconciler.control.tokens import Tokens
from reconciler.control.traffic import Traffic
from reconciler.control.veil import Veil
from reconciler.environment import Environments
from reconciler.listener import url
from reconciler.model.webhook.event import Followed
from reconciler.secrets import DotenvFiles, EncryptedStore, KeyFile, Provider, ServerEnvironment
from reconciler.settings import Settings
from reconciler.source.backend import Backend
from reconciler.source.hosted import Hosted
from reconciler.source.mirror import Mirror
from reconciler.source.signers import Signers
from reconciler.store.journal import Journal
from reconciler.store.project import Project
from reconciler.worker.engine import LocalEngine
from reconciler.worker.means import Means
from reconciler.worker.spec import WorkerSockets
from reconciler.worker.zygotes import Nursery, Zygotes

Source: TypeAlias = Mirror | Hosted


@dataclass(frozen=True, slots=True)
class Books:
    """Where everything that happens is written, told and counted."""

    journal: Journal
    feed: Feed
    meter: Meter
    veil: Veil
    commits: Commits
    history: History


@dataclass(frozen=True, slots=True)
class Works:
    """What makes releases out of folders and keeps them running."""

    zygotes: Zygotes
    engine: LocalEngine
    shop: Workshop


@dataclass(frozen=True, slots=True)
class Control:
    source: Source
    books: Books
    loop: Loop
    traffic: Traffic
    cron: Cron
    remains: Remains
    secrets: Secrets
    pace: Pace
    inbox: Inbox
    tokens: Tokens
    overview: Overview

    async def come_back(self) -> "asyncio.Task[None]":
        """Take over what the last control left; the task is done when the gateway knows of it."""
        returned = await self.remains.come_back()
        source = await self.books.journal.source()
        self.loop.restore(returned, await remember(self.books.journal), source.applied)
        await close_interrupted_syncs(self.books.journal)
        self.cron.begin()
        return asyncio.create_task(self.traffic.open({one.live.recipe.prefix: one.live.crew for one in returned}))


async def assemble(
    stack: contextlib.AsyncExitStack, settings: Settings, folders: Folders, lifeline: int, veil: Veil
) -> Control:
    source = _source(settings, folders)
    books = await _books(stack, settings, folders, veil, source)
    source.on_rewritten = partial(say_rewritten, books.feed, settings.branch)
    await source.open()
    stack.push_async_callback(source.close)
    works = await _works(stack, settings, folders, lifeline, books)
    shop, journal = works.shop, books.journal
    traffic, cron = Traffic(folders.run), Cron(journal)
    await cron.open()
    reader = Reader(shop.gate.shelf, settings.allow_urls)
    loop = Loop(source, reader, shop, traffic, works.zygotes, cron)
    pace = Pace(settings.poll)
    followed = Followed(source.address.location, settings.branch)
    inbox = Inbox(followed, journal, loop.triggers, pace, owed=await journal.owing())
    inbox.on_webhook = books.meter.webhook
    tokens = Tokens(journal)
    await tokens.open()
    announcer = Announcer(loop, books.feed, settings.public_url or url(settings.host, settings.port))
    overview = Overview(
        loop,
        source,
        journal,
        folders,
        Planner(source, reader, loop.lanes, shop.environments, shop.secrets, folders, shop.preparing),
        Actions(loop, shop, cron),
        tokens,
        books.commits,
        books.history,
        inbox,
        Reception(source, Backend(source), loop, reader, announcer, veil)
        if isinstance(source, Hosted)
        else Elsewhere(source.address.location),
        announcer,
        cron,
        Safekeeping(shop.store, shop.secrets, loop, books.feed),
        Scrape(books.meter, loop, works.engine, traffic, journal, books.feed),
    )
    remains = Remains(journal, folders, works.zygotes, works.engine)
    return Control(source, books, loop, traffic, cron, remains, shop.secrets, pace, inbox, tokens, overview)


async def _books(
    stack: contextlib.AsyncExitStack, settings: Settings, folders: Folders, veil: Veil, source: Source
) -> Books:
    veil.know(_own_secrets(settings))
    journal = Journal(folders.journal, settings.database_url, _project(settings))
    await journal.open()
    stack.push_async_callback(journal.close)
    feed, meter = Feed(journal, veil), Meter()
    feed.witness = meter.hear
    stack.push_async_callback(feed.settle)
    commits = Commits(source, journal)
    return Books(journal, feed, meter, veil, commits, History(journal, commits, feed))


async def _works(
    stack: contextlib.AsyncExitStack, settings: Settings, folders: Folders, lifeline: int, books: Books
) -> Works:
    journal, veil = books.journal, books.veil
    environments = Environments(folders.data, indexes=settings.indexes, allow_builds=settings.allow_builds)
    environments.tell_builds(books.meter.built)
    await environments.open()
    stack.push_async_callback(environments.close)
    store = EncryptedStore(journal, _key_file(settings, folders))
    await store.open()
    secrets = Secrets(_providers(settings, store), veil)
    zygotes = Zygotes(Nursery(folders.run, folders.own_log, lifeline), mend=environments.rebuild)
    fresh = partial(WorkerSockets.fresh, folders.run)
    engine = LocalEngine(Means(zygotes, Ledger(journal), fresh, secrets.reveal, books.meter))
    gate = Gate(Shelf(), folders, url(settings.host, settings.port), veil, secrets.reveal)
    starts = asyncio.Semaphore(2 * (os.cpu_count() or 2))
    shop = Workshop(journal, books.feed, books.commits, environments, engine, gate, folders, secrets, store, starts)
    return Works(zygotes, engine, shop)


def _key_file(settings: Settings, folders: Folders) -> KeyFile:
    given = settings.secrets_key_file
    return KeyFile(Path(given), is_given=True) if given else KeyFile(folders.secrets_key)


def _providers(settings: Settings, store: EncryptedStore) -> dict[str, Provider]:
    files = [Path(file) for file in settings.secrets_files]
    return {
        "store": store,
        "env": ServerEnvironment(os.environ, settings.secrets_env, store.fingerprint),
        "file": DotenvFiles(files, store.fingerprint),
    }


def _source(settings: Settings, folders: Folders) -> Source:
    signers = None
    if settings.signers is not None:
        signers = Signers(Path(settings.signers), folders.run / "signers", folders.trusted / _mirror_name(settings))
    if settings.receive is None:
        folder = folders.mirrors / f"{_mirror_name(settings)}.git"
        return Mirror(settings.repository, settings.branch, folder, signers=signers)
    control = (settings.dashboard_url or url(settings.host, settings.control_port)).rstrip("/")
    address = f"{control}/git/{settings.receive}.git"
    return Hosted(folders.hosted, settings.receive, settings.branch, address, signers=signers)


def _own_secrets(settings: Settings) -> dict[str, str]:
    """What the platform itself has to keep to itself, by the names under which it was given."""
    password = urlsplit(settings.database_url or "").password
    known = {"RECONCILER_DATABASE_URL": password, "RECONCILER_SUPABASE_KEY": settings.supabase_key}
    return {name: value for name, value in known.items() if value}


def _project(settings: Settings) -> Project | None:
    """The Supabase project that is told, if one is."""
    if settings.supabase_url is None or settings.supabase_key is None:
        return None
    return Project(settings.supabase_url, settings.supabase_key)


def _mirror_name(settings: Settings) -> str:
    """Another repository or branch is another mirror; neither is mistaken for the other's past."""
    return hashlib.sha256(f"{settings.repository}\n{settings.branch}".encode()).hexdigest()[:12]
