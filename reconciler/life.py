"""The life of control: it comes back to what runs, begins what control does, and takes it down in order.

The supervisor starts it again when it dies; the workers and the gateway do not notice.
Exit code 2 means "it will fail the same way again": the supervisor then gives up.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from asyncio import FIRST_COMPLETED
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from reconciler import log as terminal
from reconciler.api import Access, Recogniser, build
from reconciler.assembly import Control, assemble
from reconciler.control import attention
from reconciler.control.folders import Folders
from reconciler.control.overview import Overview
from reconciler.control.poll import poll
from reconciler.control.secret_watch import watch_secrets
from reconciler.control.veil import Veil
from reconciler.data_folder import OWN_LOG, read_admin_token
from reconciler.heralds import recognise_jobs, tell_forge, tell_people
from reconciler.listener import url
from reconciler.model.failure import Failure
from reconciler.model.webhook.doors import doors_from, known_secrets
from reconciler.settings import Settings
from reconciler.store.unusable import StoreUnusable

log = logging.getLogger(__name__)

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
    async with contextlib.AsyncExitStack() as stack:
        folders = Folders(settings.data.absolute(), place.run)
        control = await assemble(stack, settings, folders, place.lifeline, veil)
        opening, stopping = await control.come_back(), asyncio.create_task(stop.wait())
        await asyncio.wait([opening, stopping], return_when=FIRST_COMPLETED)
        server = _server(control.overview, settings, (control.tokens, *recognise_jobs(stack, settings)))
        books, loop = control.books, control.loop
        location = control.source.address.location
        await tell_forge(stack, settings, location, books.feed, books.history, books.meter, loop.where)
        await tell_people(stack, settings, books.feed, books.journal, veil, books.meter)
        tasks = [
            asyncio.create_task(loop.run(), name="the loop"),
            asyncio.create_task(poll(loop, control.source, control.pace), name="the poll"),
            asyncio.create_task(control.inbox.run(), name="the inbox of webhooks"),
            asyncio.create_task(watch_secrets(loop, control.secrets), name="the watch over secrets"),
            asyncio.create_task(server.serve(sockets=[socket.socket(fileno=place.listener)]), name="the API"),
        ]
        stack.callback(asyncio.create_task(attention.settle(loop.first_sync_finished)).cancel)
        await loop.triggers.ask("start", "reconciler")
        await asyncio.wait([stopping, *tasks], return_when=FIRST_COMPLETED)
        if not stop.is_set():
            return _died(tasks)
        await _go_down(control, server, tasks)
    return 0


def _died(tasks: "list[asyncio.Task[None]]") -> int:
    """Half a control is none. The supervisor starts another one; gateway and workers do not notice."""
    for task in tasks:
        if task.done():
            log.error("%s ended, and control with it", task.get_name(), exc_info=task.exception())
    return DIED


async def _go_down(control: Control, server: uvicorn.Server, tasks: "list[asyncio.Task[None]]") -> None:
    """Accept nothing new, let every worker finish, then stop answering questions about it."""
    control.cron.rest()
    *looking, serving = tasks
    for task in looking:
        task.cancel()
    log.info("stopping: what was begun is finished first")
    try:
        async with asyncio.timeout(GATEWAY_CLOSES_WITHIN):
            await control.traffic.close()
    except TimeoutError:
        log.warning("there is no gateway to close")
    await control.loop.drain()
    await control.traffic.leave()
    server.should_exit = True
    await asyncio.wait([serving])
    await control.cron.settle()
    await control.remains.settle()


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
        ws="none",
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


def _arguments(argv: list[str]) -> tuple[Place, Settings]:
    parser = argparse.ArgumentParser(prog="reconciler.app")
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--lifeline-fd", type=int, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    given = parser.parse_args(argv)
    place = Place(given.listen_fd, given.lifeline_fd, given.run)
    return place, Settings.from_json(given.settings.read_text())
