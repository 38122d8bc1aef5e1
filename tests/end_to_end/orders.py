"""Asking for a sync without waiting for it, holding it where a test wants it, and telling where it is."""

import contextlib
import signal
from collections.abc import Iterator, Mapping

from tests.end_to_end.platform import Platform, Told, eventually
from tests.end_to_end.processes import Process, is_alive
from tests.waiting import until_sync

UNWATCHED = "version: 1\ndefaults: {drain: 5s, watch_window: 0s}\n"


def ask(platform: Platform, **query: str) -> str:
    """Ask for a sync and do not wait for its end."""
    return str(platform.control.post("/v1/sync", params=query).raise_for_status().json()["id"])


def end_of(platform: Platform, sync: str, *, within: float = 30) -> Told:
    def look() -> Told:
        told: Told = platform.control.get(f"/v1/syncs/{sync}").raise_for_status().json()
        return told if told["state"] in {"done", "failed", "superseded"} else {}

    return until_sync(look, within=within, what=f"sync {sync}")


def doing(platform: Platform, name: str) -> str:
    return str(platform.condition(name, "Syncing").get("message", ""))


def is_held(platform: Platform, name: str) -> bool:
    """Its candidate has been forked, and stands at the brake."""
    return "starting" in doing(platform, name)


def serves(platform: Platform, name: str, version: str) -> None:
    """Soon, for a connection that is kept: the release before gives it back when it hears that it is to go."""
    eventually(lambda: platform.version(name) == version, what=f"version {version} of {name}")


def live(platform: Platform, name: str) -> str | None:
    told = platform.service(name)["live"]
    return str(told["id"]) if told else None


@contextlib.contextmanager
def gateway_that_does_not_answer(platform: Platform, *, stopped: bool = True) -> Iterator[Process]:
    """Until the end of the block; from its beginning on, or from when somebody stops it."""
    gateway = platform.process("gateway")
    if stopped:
        gateway.kill(signal.SIGSTOP)
    try:
        yield gateway
    finally:
        gateway.kill(signal.SIGCONT)


def begin_switch(platform: Platform, name: str, files: Mapping[str, str]) -> str:
    """Follow a commit up to the moment at which the gateway is told; the sync under way."""
    before = live(platform, name)
    platform.commit(files)
    sync = ask(platform)
    eventually(lambda: live(platform, name) != before, what="the switch")
    return sync


def check_that_all_is_gone(platform: Platform, *, signalled: bool = False) -> None:
    """SIGTERM ends everything, in order."""
    assert platform.server is not None
    family = platform.family()
    assert (platform.server.wait(20) if signalled else platform.stop()) == 0, platform.said()
    until_sync(lambda: not any(is_alive(process.pid) for process in family), what="the end of all")
