"""The control process: builds every object, connects them, and takes them down in order.

    python -m reconciler.app --listen-fd N --lifeline-fd L --run RUN --settings FILE

Started by the supervisor, which restarts it when it dies; the workers and the gateway do not notice.
Exit code 2 means "it will fail the same way again": the supervisor then gives up.
"""

import argparse
import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import socket
import sys
from asyncio import FIRST_COMPLETED
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from reconciler import log as terminal
from reconciler.api import Access, Recogniser, build
from reconciler.control import attention
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
from reconciler.control.poll import poll
from reconciler.control.reading import Reader
from reconciler.control.reception import Announcer, Elsewhere, Reception
from reconciler.control.rewritten import say_rewritten
from reconciler.control.safekeeping import Safekeeping
from reconciler.control.secret_watch import watch_secrets
from reconciler.control.secrets import Secrets
from reconciler.control.tokens import Tokens
from reconciler.control.traffic import Traffic
from reconciler.control.veil import Veil
from reconciler.data_folder import OWN_LOG, read_admin_token
from reconciler.environment import Environments
from reconciler.heralds import recognise_jobs, tell_forge, tell_people
from reconciler.listener import url
from reconciler.model.failure import Failure
from reconciler.model.webhook.doors import doors_from, known_secrets
from reconciler.model.webhook.event import Followed
from reconciler.secrets import DotenvFiles, EncryptedStore, KeyFile, Provider, ServerEnvironment
from reconciler.settings import Settings
from reconciler.source.backend import Backend
from reconciler.source.hosted import Hosted
from reconciler.source.mirror import Mirror
from reconciler.source.signers import Signers
from reconciler.store.journal import Journal
from reconciler.store.project import Project
from reconciler.store.unusable import StoreUnusable
from reconciler.worker.crew import LocalEngine
from reconciler.worker.spec import WorkerSockets
from reconciler.worker.zygote import Nursery, Zygotes

# It runs as a program, and would be called `__main__`.
log = logging.getLogger("reconciler.app")

GONE = 70
"""The platform is gone: nothing is left to tell it to."""
WRONG = 2
DIED = 1
GATEWAY_CLOSES_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """What the supervisor handed over."""

    listener: int
    lifeline: int
    run: Path


def main() -> int:
    veil = Veil()
    veil.know(known_secrets(os.environ))
    terminal.configure(redact=veil.text)
    attention.prepare()
    place, settings = _arguments(sys.argv[1:])
    terminal.keep(settings.data / OWN_LOG, "control", veil.text)
    try:
        return asyncio.run(serve(place, settings, veil))
    except (Failure, StoreUnusable) as wrong:
        print(f"reconciler: {wrong}", file=sys.stderr)  # noqa: T201 - the operator's one line
        # On a full disk workers and gateway go on; control is started again until there is room.
        return DIED if isinstance(wrong, StoreUnusable) and wrong.may_pass else WRONG


async def serve(place: Place, settings: Settings, veil: Veil) -> int:
    stop = _listen_for_the_end(place.lifeline)
    folders = Folders(settings.data.absolute(), place.run)
    mirror = _followed(settings, folders)
    environments = Environments(folders.data, indexes=settings.indexes, allow_builds=settings.allow_builds)
    meter = Meter()
    environments.tell_builds(meter.built)
    async with contextlib.AsyncExitStack() as stack:
        veil.know(_own_secrets(settings))
        journal = Journal(folders.journal, settings.database_url, _project(settings))
        await journal.open()
        stack.push_async_callback(journal.close)
        feed = Feed(journal, veil)
        feed.witness = meter.hear
        stack.push_async_callback(feed.settle)
        mirror.on_rewritten = partial(say_rewritten, feed, settings.branch)
        await mirror.open()
        stack.push_async_callback(mirror.close)
        await environments.open()
        stack.push_async_callback(environments.close)

        store = EncryptedStore(journal, _key_file(settings, folders))
        await store.open()
        secrets = Secrets(_providers(settings, store), veil)
        nursery = Nursery(place.run, folders.own_log, place.lifeline)
        zygotes = Zygotes(nursery, mend=environments.rebuild)
        fresh = partial(WorkerSockets.fresh, place.run)
        engine = LocalEngine(zygotes, Ledger(journal), fresh, secrets.reveal, meter)
        traffic = Traffic(place.run)
        gate = Gate(Shelf(), folders, url(settings.host, settings.port), veil, secrets.reveal)
        starts = asyncio.Semaphore(2 * (os.cpu_count() or 2))
        commits = Commits(mirror, journal)
        shop = Workshop(journal, feed, commits, environments, engine, gate, folders, secrets, store, starts)
        reader = Reader(gate.shelf, settings.allow_urls)
        cron = Cron(journal)
        await cron.open()
        loop = Loop(mirror, reader, shop, traffic, zygotes, cron)
        planner = Planner(mirror, reader, loop.lanes, environments, secrets, folders, shop.preparing)
        remains = Remains(journal, folders, zygotes, engine)
        returned = await remains.come_back()
        loop.restore(returned, await remember(journal))
        pace = Pace(settings.poll)
        followed = Followed(mirror.address.location, settings.branch)
        inbox = Inbox(followed, journal, loop.triggers, pace, owed=await journal.owing())
        inbox.on_webhook = meter.webhook
        await close_interrupted_syncs(journal)
        cron.begin()
        opening = asyncio.create_task(traffic.open({one.live.recipe.prefix: one.live.crew for one in returned}))
        await asyncio.wait([opening, stopping := asyncio.create_task(stop.wait())], return_when=FIRST_COMPLETED)
        tokens = Tokens(journal)
        await tokens.open()
        announcer = Announcer(loop, feed, settings.public_url or url(settings.host, settings.port))
        remote = (
            Reception(mirror, Backend(mirror), loop, reader, announcer, gate.veil)
            if isinstance(mirror, Hosted)
            else Elsewhere(mirror.address.location)
        )
        overview = Overview(
            loop,
            mirror,
            journal,
            folders,
            planner,
            Actions(loop, shop, cron),
            tokens,
            commits,
            history := History(journal, commits, feed),
            inbox,
            remote,
            announcer,
            cron,
            Safekeeping(store, secrets, loop, feed),
            Scrape(meter, loop, engine, traffic, journal, feed),
        )
        server = _server(overview, settings, (tokens, *recognise_jobs(stack, settings)))
        await tell_forge(stack, settings, mirror.address.location, feed, history, meter)
        await tell_people(stack, settings, feed, journal, veil, meter)
        tasks = [
            asyncio.create_task(loop.run(), name="the loop"),
            asyncio.create_task(poll(loop, mirror, pace), name="the poll"),
            asyncio.create_task(inbox.run(), name="the inbox of webhooks"),
            asyncio.create_task(watch_secrets(loop, secrets), name="the watch over secrets"),
            asyncio.create_task(server.serve(sockets=[socket.socket(fileno=place.listener)]), name="the API"),
        ]
        stack.callback(asyncio.create_task(attention.settle(loop.first_sync_finished)).cancel)
        await loop.triggers.ask("start", "reconciler")
        await asyncio.wait([stopping, *tasks], return_when=FIRST_COMPLETED)
        if not stop.is_set():
            return _died(tasks)
        cron.rest()
        await _go_down(loop, traffic, server, tasks)
        await cron.settle()
        await remains.settle()
    return 0


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


def _died(tasks: "list[asyncio.Task[None]]") -> int:
    """Half a control is none. The supervisor starts another one; gateway and workers do not notice."""
    for task in tasks:
        if task.done():
            log.error("%s ended, and control with it", task.get_name(), exc_info=task.exception())
    return DIED


async def _go_down(loop: Loop, traffic: Traffic, server: uvicorn.Server, tasks: "list[asyncio.Task[None]]") -> None:
    """Accept nothing new, let every worker finish, then stop answering questions about it."""
    *looking, serving = tasks
    for task in looking:
        task.cancel()
    log.info("stopping: what was begun is finished first")
    try:
        async with asyncio.timeout(GATEWAY_CLOSES_WITHIN):
            await traffic.close()
    except TimeoutError:
        log.warning("there is no gateway to close")
    await loop.drain()
    await traffic.leave()
    server.should_exit = True
    await asyncio.wait([serving])


class Server(uvicorn.Server):
    """Signals are not its business here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(overview: Overview, settings: Settings, recognisers: Sequence[Recogniser]) -> uvicorn.Server:
    hosts = (settings.host, *settings.allowed_hosts)
    access = Access(read_admin_token(settings.data) or "", hosts, recognisers)
    services_at = settings.public_url or url(settings.host, settings.port)
    application = build(
        overview,
        access,
        doors_from(os.environ),
        settings.webhook_body,
        services_at=services_at,
        open_metrics=settings.open_metrics,
    )
    # A person's way in, worth something once: on the terminal, and nowhere where others may read it.
    code = application.state.sign_in_code.text
    where = url(settings.host, settings.control_port)
    log.info("dashboard  sign-in=%s/sign-in?code=%s", where, code, extra={"kept": False})
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http="httptools",
        lifespan="off",
        # A `logs -f` never ends by itself.
        timeout_graceful_shutdown=1,
    )
    return Server(config)


def _listen_for_the_end(lifeline: int) -> asyncio.Event:
    """SIGTERM asks for an orderly end; the end of the lifeline means there is nothing left to put in order."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    # The supervisor starts us with it held back, so that it cannot come before there is somebody to hear it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    loop.add_reader(lifeline, os._exit, GONE)
    return stop


def _followed(settings: Settings, folders: Folders) -> Mirror | Hosted:
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


def _arguments(argv: list[str]) -> tuple[Place, Settings]:
    parser = argparse.ArgumentParser(prog="reconciler.app")
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--lifeline-fd", type=int, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    given = parser.parse_args(argv)
    place = Place(given.listen_fd, given.lifeline_fd, given.run)
    return place, Settings.from_json(given.settings.read_text())


if __name__ == "__main__":
    sys.exit(main())
