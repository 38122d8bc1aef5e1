"""A still platform on a real port, for browsers."""

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.api import Access, build
from reconciler.listener import url
from reconciler.model.status import QUIET, CommitStatus
from tests.api.asking import TOKEN
from tests.api.platform import Still
from tests.api.statuses import SINCE, busy, condition, failing, release, service
from tests.serving import in_thread, port_of

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
    with in_thread(app, port=0, timeout_graceful_shutdown=1) as server:
        yield url("127.0.0.1", port_of(server)), f"/sign-in?code={app.state.sign_in_code.text}"
