"""What a sync does, told to somebody's terminal while it does it.

Notices go in, lines come out, in the manner of the terminals that people know from pushing elsewhere. Says of every
service where it lives or why it does not, with file, line and remedy. Refuses to keep anybody waiting: whoever
does not listen changes nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from reconciler.control.feed import Listener
from reconciler.model.names import ServiceName, SyncId, shortened
from reconciler.model.notice import Kind, Notice
from reconciler.model.plan import Verb
from reconciler.model.position import visible
from reconciler.model.problem import Problem
from reconciler.model.problem_text import problem_text
from reconciler.model.verdict import Verdict

Until = Literal["none", "plan", "live"]

STEP, MARGIN, TROUBLE = "-----> ", "       ", " !     "
SILENCE = 15.0
"""After so long without a line there is one that says so: some proxies hang up on a silent answer."""
LONGEST = 900.0
MOST_ACTIONS = 50
MOST_PROBLEMS = 20


async def narrate(listener: Listener, sync: SyncId, services: str, until: Until) -> AsyncGenerator[str, None]:
    """Lines about one sync, until it has planned or until all it does has ended. `services` is where those answer."""
    story = Story(sync, services, until)
    clock = asyncio.get_running_loop()
    ends_at, speaks_at = clock.time() + LONGEST, clock.time() + SILENCE
    hearing = asyncio.ensure_future(anext(listener))
    try:
        while not story.ended:
            done, _ = await asyncio.wait([hearing], timeout=max(0.0, min(ends_at, speaks_at) - clock.time()))
            if done:
                for line in story.hear(hearing.result()):
                    speaks_at = clock.time() + SILENCE
                    yield line
                hearing = asyncio.ensure_future(anext(listener))
            elif clock.time() >= ends_at:
                yield f"{MARGIN}it goes on without you; `reconciler status` tells how it ends"
                return
            else:
                speaks_at = clock.time() + SILENCE
                yield f"{MARGIN}{story.waiting}"
    finally:
        hearing.cancel()


class Story:
    """One sync, as far as it has been heard of."""

    def __init__(self, sync: SyncId, services: str, until: Until) -> None:
        self.ended = until == "none"
        self._sync = sync
        self._services = services.rstrip("/")
        self._until = until
        self._about: set[str] = set()
        """Services it does something about, and that have not come to an end."""
        self._told: set[str] = set()
        """Services whose failure was told at length."""
        self._since: datetime | None = None
        self._all_is_well = False
        """There was something to do, and nothing of it was held back or failed yet."""

    @property
    def waiting(self) -> str:
        return f"still working on {', '.join(sorted(self._about)[:5])}" if self._about else "still waiting for its turn"

    def hear(self, notice: Notice) -> Iterator[str]:
        """The lines that it makes; most notices are about something else and make none."""
        if notice.sync == self._sync and notice.kind is Kind.SYNC_STARTED:
            self._since = notice.at
        elif notice.sync == self._sync and notice.kind is Kind.SYNC_PLANNED:
            yield from self._plan(notice)
        elif notice.sync == self._sync and notice.kind is Kind.SYNC_FINISHED:
            yield from self._end(notice)
        elif notice.service is not None and notice.service in self._about:
            yield from self._step(notice.service, notice)

    def _plan(self, notice: Notice) -> Iterator[str]:
        actions, kept = notice.data["actions"], notice.data["kept"]
        yield f"{STEP}Plan for {shortened(notice.revision or '')}: {len(actions)} to do, {kept} to keep"
        width = max((len(action["service"]) for action in actions[:MOST_ACTIONS]), default=0)
        for action in actions[:MOST_ACTIONS]:
            yield visible(f"{MARGIN}{action['verb']:<8}{action['service']:<{width}}  {action['why']}").rstrip()
        if len(actions) > MOST_ACTIONS:
            yield f"{MARGIN}and {len(actions) - MOST_ACTIONS} more"
        self._about = {action["service"] for action in actions if action["verb"] != Verb.HOLD.value}
        self._all_is_well = 0 < len(self._about) == len(actions)
        self.ended = self._until == "plan"

    def _step(self, service: ServiceName, notice: Notice) -> Iterator[str]:
        if notice.kind is Kind.PHASE_BEGAN:
            yield visible(f"{STEP}{service}: {notice.message}")
        elif notice.kind is Kind.SUITE_PLAYED:
            yield from _suite(service, notice)
        elif notice.kind is Kind.RELEASE_FAILED and service not in self._told:
            self._told.add(service)
            yield from trouble(f"{service}: {notice.message}", _problems(notice.data))
        elif notice.kind is Kind.ROLLED_BACK:
            yield visible(f"{TROUBLE}{service}: {notice.message}")
        elif notice.kind is Kind.ACTION_FINISHED and notice.sync == self._sync:
            self._about.discard(service)
            self._all_is_well &= notice.data["outcome"] == "done"
            yield from self._outcome(service, notice.data)
            if self._all_is_well and not self._about and self._since is not None:
                # That the sync comes to its end, too, is bookkeeping, and nobody need sit before it.
                yield from self._done((notice.at - self._since).total_seconds())

    def _done(self, seconds: float) -> Iterator[str]:
        self.ended = True
        yield f"{STEP}Done in {seconds:.2f} s"

    def _outcome(self, service: ServiceName, data: Mapping[str, Any]) -> Iterator[str]:
        if data["outcome"] == "superseded":
            yield f"{MARGIN}{service}: left to a newer commit"
        elif data["outcome"] == "failed":
            if service not in self._told:
                yield from trouble(f"{service}: {data['reason']}: {data['message']}", ())
        elif data["verb"] == Verb.REMOVE.value:
            yield f"{STEP}{service} is gone"
        else:
            yield f"{STEP}{service} is live at {self._services}{data['path']}"

    def _end(self, notice: Notice) -> Iterator[str]:
        self.ended = True
        state = notice.data["state"]
        if state == "done":
            yield from self._done(notice.data["seconds"])
        elif state == "superseded":
            yield f"{STEP}A newer commit takes its place"
        else:
            if notice.message != state:
                yield from trouble(notice.message, ())
            yield f"{TROUBLE}Not everything is live. The branch has moved; what served goes on serving."


def _suite(service: ServiceName, notice: Notice) -> Iterator[str]:
    """What failed is told with the release that it fails."""
    passed, seconds = notice.data["verdict"] == Verdict.PASSED.value, notice.data["seconds"]
    if notice.data["cases"]:
        said = notice.message if passed else "its suite did not pass"
        yield visible(f"{MARGIN}{service}: {said} in {seconds:.2f} s")


def trouble(message: str, problems: tuple[Problem, ...]) -> Iterator[str]:
    """What is wrong, and each place where it is."""
    for number, line in enumerate(message.splitlines() or [""]):
        yield visible(f"{MARGIN if number else TROUBLE}{line}")
    for problem in problems[:MOST_PROBLEMS]:
        yield from (f"{MARGIN}{line}".rstrip() for line in problem_text(problem).splitlines())
    if len(problems) > MOST_PROBLEMS:
        yield f"{MARGIN}and {len(problems) - MOST_PROBLEMS} more"


def _problems(data: Mapping[str, Any]) -> tuple[Problem, ...]:
    return tuple(Problem(**each) for each in data.get("problems", ()))
