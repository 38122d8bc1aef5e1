"""Adds up what workers say that they answered, and what happens on the platform.

Sums of a service never go backwards while it is there: those of a worker or a release that ends stay in them. What
bears the name of a release is told for a while after its last worker has ended, so that every scraper has seen the
last of it, and is forgotten then; a service that git no longer holds likewise.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from reconciler.control.metrics.figures import PHASES, ReleaseFigures, ServiceFigures, Spread, add, noted
from reconciler.control.metrics.minutes import Minutes
from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.notice import Kind, Notice
from reconciler.model.status import TrafficStatus
from reconciler.worker.exit import Exit
from reconciler.worker.served import InHand, Served
from reconciler.worker.spec import ReleaseSpec

TOLD_FOR = 300.0
"""How long something that has ended is still told."""
MOST_RELEASES = 8
"""Of one service: when nobody scrapes, nobody tidies up."""
SWITCHES = {Kind.RELEASE_SWITCHED: "release", Kind.ROLLED_BACK: "rollback", Kind.WORKERS_RESTARTED: "restart"}


class Meter:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.services: dict[ServiceName, ServiceFigures] = {}
        self.syncs: dict[str, Spread] = {}
        self.phases: dict[str, Spread] = {}
        """Of syncs."""
        self.steps: dict[str, Spread] = {}
        """Of releases on their way to be live."""
        self.suites = Spread(PHASES)
        self.builds: dict[str, Spread] = {}
        self.webhooks: dict[tuple[str, str], int] = {}
        self.waiting: dict[str, Callable[[], int]] = {}
        """Who is told things elsewhere, and how many he has not got yet."""
        self.dropped: dict[str, Callable[[], int]] = {}
        """And how many he never will."""
        self._clock = clock
        self._since = clock()
        self._of_service: Mapping[Kind, Callable[[ServiceFigures, Notice], None]] = {
            Kind.RELEASE_SWITCHED: self._switched,
            Kind.ROLLED_BACK: self._switched,
            Kind.WORKERS_RESTARTED: self._switched,
            Kind.RELEASE_FAILED: self._failed,
            Kind.SUITE_PLAYED: self._played,
            Kind.ACTION_FINISHED: self._acted,
            Kind.RUN_ENDED: self._ran,
            Kind.RUNS_MISSED: self._missed,
            Kind.SERVICE_REMOVED: self._removed,
        }

    # What workers say

    def served(self, spec: ReleaseSpec, served: Served) -> None:
        figures = self._figures(spec.service)
        figures.times.add(served.times, served.seconds)
        figures.unanswered += served.unanswered
        if not served.total:
            return
        figures.minutes.note(served, self._clock())
        release = self._release(figures, spec.release)
        for index, more in enumerate(served.answers):
            figures.answers[index] += more
            release.answers[index] += more

    def replaced(self, spec: ReleaseSpec, end: Exit | None) -> None:
        add(self._figures(spec.service).restarts, _cause(end))

    # What happens

    def hear(self, notice: Notice) -> None:
        """Told at the moment, and must be quick."""
        if notice.kind is Kind.SYNC_FINISHED:
            noted(self.syncs, str(notice.data["state"]), float(notice.data["seconds"]))
            _note_all(self.phases, notice.data.get("phases"))
        elif notice.service is not None and (note := self._of_service.get(notice.kind)) is not None:
            note(self._figures(notice.service), notice)

    def built(self, outcome: str, seconds: float) -> None:
        """An environment was made, or could not be."""
        noted(self.builds, outcome, seconds)

    def webhook(self, provider: str, outcome: str) -> None:
        add(self.webhooks, (provider, outcome))

    def _switched(self, figures: ServiceFigures, notice: Notice) -> None:
        figures.gone_at = None
        add(figures.switches, SWITCHES[notice.kind])

    def _failed(self, figures: ServiceFigures, notice: Notice) -> None:
        figures.gone_at = None
        add(figures.failures, str(notice.data.get("reason")))

    def _played(self, figures: ServiceFigures, notice: Notice) -> None:
        add(figures.suites, str(notice.data["verdict"]))
        self.suites.note(float(notice.data["seconds"]))

    def _acted(self, _: ServiceFigures, notice: Notice) -> None:
        _note_all(self.steps, notice.data.get("phases"))

    def _ran(self, figures: ServiceFigures, notice: Notice) -> None:
        job, late = str(notice.data["job"]), notice.data.get("late")
        add(figures.runs, (job, str(notice.data["state"])))
        if late is not None:
            begun, seconds = figures.lateness.get(job, (0, 0.0))
            figures.lateness[job] = begun + 1, seconds + float(late)

    def _missed(self, figures: ServiceFigures, notice: Notice) -> None:
        add(figures.missed, str(notice.data["job"]), int(notice.data["missed"]))

    def _removed(self, figures: ServiceFigures, _: Notice) -> None:
        figures.gone_at = self._clock()
        self._forget_gone()

    # What people ask

    def of_late(self, service: ServiceName, held: InHand) -> TrafficStatus:
        """What a service answered lately; `held` is what its workers have in hand."""
        minutes = self.services[service].minutes if service in self.services else Minutes()
        return minutes.look(self._clock(), self._since, held)

    # What is no more

    def tidy(self, alive: Mapping[ServiceName, Collection[ReleaseId]]) -> None:
        """Forget what ended a while ago; `alive` are the services, and their releases that have workers."""
        now = self._clock()
        for name, figures in self.services.items():
            if name not in alive and figures.gone_at is None:
                figures.gone_at = now
            for release, one in tuple(figures.releases.items()):
                if release in alive.get(name, ()):
                    one.ended_at = None
                elif one.ended_at is None:
                    one.ended_at = now
                elif now - one.ended_at >= TOLD_FOR:
                    del figures.releases[release]
        self._forget_gone()

    def _forget_gone(self) -> None:
        now = self._clock()
        for name, figures in tuple(self.services.items()):
            if figures.gone_at is not None and now - figures.gone_at >= TOLD_FOR:
                del self.services[name]

    def _figures(self, service: ServiceName) -> ServiceFigures:
        if service not in self.services:
            self.services[service] = ServiceFigures()
        return self.services[service]

    def _release(self, figures: ServiceFigures, release: ReleaseId) -> ReleaseFigures:
        if release not in figures.releases:
            figures.releases[release] = ReleaseFigures()
            while len(figures.releases) > MOST_RELEASES:
                del figures.releases[next(iter(figures.releases))]
        return figures.releases[release]


def _note_all(spreads: dict[str, Spread], phases: Any) -> None:
    for name, seconds in dict(phases or {}).items():
        noted(spreads, str(name), float(seconds))


def _cause(end: Exit | None) -> str:
    if end is None or end.status is None:
        return "unknown"
    if end.out_of_memory:
        return "out_of_memory"
    return "signal" if end.killed_by is not None else "exit"
