"""Those who tell others what happens here, put together from what the operator decided.

Each has a task of its own and ends with control; nobody waits for them.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from reconciler.control.feed import Feed
from reconciler.control.history import History
from reconciler.control.metrics import Meter
from reconciler.control.spreading import spread, what_was_told
from reconciler.control.telling import Telling
from reconciler.control.veil import Veil
from reconciler.forge import App, Links, Outbox, connect, locate
from reconciler.forge.identity import ISSUER, Jobs, Keys, Trust
from reconciler.listener import url
from reconciler.misconfigured import Misconfigured
from reconciler.notification.courier import Courier
from reconciler.notification.outgoing import VARIABLE, outgoing
from reconciler.settings import Settings
from reconciler.store.journal import Journal

log = logging.getLogger(__name__)

TOKEN = "RECONCILER_FORGE_TOKEN"  # noqa: S105 - the name of a variable
ISSUER_AT = "RECONCILER_ACTIONS_KEYS"
"""Where the keys of jobs are fetched, for a GitHub of your own."""
SAID_WITHIN = 2.0
"""How long the last words may take when control ends; the next control says what is left."""


async def tell_forge(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    location: str,
    feed: Feed,
    history: History,
    meter: Meter,
    where: Callable[[str], str | None],
) -> None:
    """Where there is a forge to tell, and credentials to tell it with. `where` a service answers."""
    token, app = os.environ.get(TOKEN, ""), _app(settings)
    repository = locate(location, settings.forge, settings.forge_api, settings.forge_repository)
    if repository is None or not (token or app):
        return
    links = Links(
        settings.public_url or url(settings.host, settings.port), settings.dashboard_url, settings.environment
    )
    outbox = Outbox(connect(repository, token, links, app))
    meter.waiting["forge"], meter.dropped["forge"] = lambda: outbox.standing.waiting, lambda: outbox.dropped
    telling = Telling(feed, history, outbox.put, where)
    tasks = [asyncio.create_task(telling.run()), asyncio.create_task(outbox.run())]
    stack.push_async_callback(_end, tasks, outbox)
    log.info("the forge is told what becomes of commits  url=%s", f"{repository.api} {repository.path}")


async def tell_people(
    stack: contextlib.AsyncExitStack, settings: Settings, feed: Feed, journal: Journal, veil: Veil, meter: Meter
) -> None:
    """Where the operator named somebody."""
    news = outgoing(settings.notify, settings.notify_on, settings.allow_notify, os.environ.get(VARIABLE, ""))
    if not news.destinations:
        return
    veil.know(news.secrets())
    couriers = [Courier(one, news.keys) for one in news.destinations]
    meter.waiting["notifications"] = lambda: sum(courier.waiting for courier in couriers)
    meter.dropped["notifications"] = lambda: sum(courier.dropped for courier in couriers)
    task = asyncio.create_task(spread(feed, couriers, news.topics, await what_was_told(journal)))
    stack.callback(task.cancel)
    log.info("people are told what fails  to=%s", ", ".join(map(str, news.destinations)))


def recognise_jobs(stack: contextlib.AsyncExitStack, settings: Settings) -> tuple[Jobs, ...]:
    """Jobs of the forge that may show who they are, where the operator named some."""
    if not settings.trusted_jobs or settings.dashboard_url is None:
        return ()
    claims = dict(claim.split("=", 1) for claim in settings.trusted_jobs)
    keys = Keys(os.environ.get(ISSUER_AT) or ISSUER)
    fetching = asyncio.create_task(keys.run())
    stack.callback(fetching.cancel)
    return (Jobs(keys, Trust(settings.dashboard_url.rstrip("/"), claims)),)


async def _end(tasks: "list[asyncio.Task[None]]", outbox: Outbox) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SAID_WITHIN):
            await outbox.said()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _app(settings: Settings) -> App | None:
    if settings.github_app is None or settings.github_app_key is None:
        return None
    try:
        return App(settings.github_app, Path(settings.github_app_key).read_text())
    except OSError as error:
        raise Misconfigured(f"the GitHub App's key cannot be read: {error}") from error
