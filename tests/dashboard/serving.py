"""A still platform on a real port, for browsers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from reconciler.api import Access, build
from reconciler.listener import url
from reconciler.model.status import QUIET, CommitStatus
from tests.api.asking import TOKEN
from tests.api.platform import Still
from tests.api.statuses import SINCE, busy, condition, failing, release, service
from tests.waiting import until_sync

COMMIT = CommitStatus(sha="0123456789" * 4, author="Ada", subject="Answer with totals of the last week", at=SINCE)


def many(count: int) -> Still:
    """Services in all the ways in which a platform of that size has them."""
    good = (
        service(
            f"service-{number:04}",
            live=release(f"service-{number:04}", 1, commit=COMMIT),
            traffic=busy(1 + number % 7) if number % 5 else QUIET,
        )
        for number in range(count - 3)
    )
    working = condition("Syncing", "True", "Progressing", "starting it")
    held = condition("RolledBack", "True", "Requested", "Ada gave the traffic back.")
    return Still(*good, failing("red"), service("busy", condition(), working), service("held", condition(), held))


@contextmanager
def served(platform: Still) -> Iterator[tuple[str, str]]:
    """Its address, and a link that signs in."""
    app = build(platform, Access(TOKEN, recognisers=(platform.keys,)))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    until_sync(lambda: server.started, what="the server")
    home = url("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
    try:
        yield home, f"/sign-in?code={app.state.sign_in_code.text}"
    finally:
        server.should_exit = True
        thread.join(10)
