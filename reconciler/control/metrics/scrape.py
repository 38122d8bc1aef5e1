"""One look at everything that is counted, as a text for Prometheus.

The look takes no time in which something could change, so a switch is before it or after it. Only the gateway has to
be asked, once, with a deadline; workers are not: what they counted is here already. Writing the text is done beside,
and whoever asks meanwhile gets the same text, so that many askers cost as much as one.
"""

import asyncio
import platform as machine
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from reconciler import __version__
from reconciler.control.feed import Feed
from reconciler.control.loop import Loop
from reconciler.control.metrics.figures import Spread
from reconciler.control.metrics.meter import Meter
from reconciler.control.metrics.moment import Moment, Station
from reconciler.control.metrics.usage import Labour
from reconciler.control.traffic import Traffic
from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.status import Condition
from reconciler.store.journal import Journal
from reconciler.worker.engine import LocalEngine
from reconciler.worker.served import NOTHING
from reconciler.worker.worker import Worker

GATEWAY_WITHIN = 1.0


class Scrape:
    def __init__(
        self, meter: Meter, loop: Loop, engine: LocalEngine, traffic: Traffic, journal: Journal, feed: Feed
    ) -> None:
        self.meter = meter
        self._loop = loop
        self._engine = engine
        self._traffic = traffic
        self._journal = journal
        self._feed = feed
        self._started_at = datetime.now(UTC)
        self._under_way: asyncio.Task[bytes] | None = None

    async def text(self) -> bytes:
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._write())
        # An asker that leaves does not take it from the others.
        return await asyncio.shield(self._under_way)

    async def _write(self) -> bytes:
        gateway = await self._ask_gateway()
        return await asyncio.to_thread(_written, self._look(gateway))

    async def _ask_gateway(self) -> Mapping[str, int] | None:
        try:
            async with asyncio.timeout(GATEWAY_WITHIN):
                return await self._traffic.stats()
        except TimeoutError:
            return None

    def _look(self, gateway: Mapping[str, int] | None) -> Moment:
        meter, loop = self.meter, self._loop
        crews = [(crew.spec, [one for one in crew.workers if not one.is_gone]) for crew in self._engine.crews]
        present: dict[ServiceName, list[Worker]] = {name: [] for name in loop.lanes}
        alive: dict[ServiceName, set[ReleaseId]] = {
            name: {lane.stage.live.release} if lane.stage.live is not None else set()
            for name, lane in loop.lanes.items()
        }
        labours = []
        for spec, workers in crews:
            if workers:
                present.setdefault(spec.service, []).extend(workers)
                alive.setdefault(spec.service, set()).add(spec.release)
            labours += [Labour(spec.service, spec.release, one.id, one.pid, one.started) for one in workers]
        meter.tidy(alive)
        return Moment(
            version=__version__,
            python=machine.python_version(),
            started_at=self._started_at,
            ready=loop.first_sync_finished.is_set(),
            source_reachable=loop.seen.trouble is None,
            last_sync=loop.last_sync.finished_at if loop.last_sync is not None else None,
            stations={name: _station(self._conditions(name), workers) for name, workers in present.items()},
            figures={name: figures.copy() for name, figures in meter.services.items()},
            labours=tuple(labours),
            gateway=gateway,
            syncs=_copied(meter.syncs),
            phases=_copied(meter.phases),
            steps=_copied(meter.steps),
            suites=meter.suites.copy(),
            builds=_copied(meter.builds),
            webhooks=dict(meter.webhooks),
            dropped={"listener": self._feed.dropped, **_counted(meter.dropped)},
            spooled={each.name: each.waiting for each in self._journal.standings()} | _counted(meter.waiting),
        )

    def _conditions(self, name: ServiceName) -> tuple[Condition, ...]:
        lane = self._loop.lanes.get(name)
        return lane.account.conditions if lane is not None else ()


def _station(conditions: tuple[Condition, ...], workers: list[Worker]) -> Station:
    states: dict[str, int] = {}
    for worker in workers:
        states[worker.state] = states.get(worker.state, 0) + 1
    return Station(conditions, states, sum((worker.in_hand for worker in workers), NOTHING))


def _copied(spreads: Mapping[str, Spread]) -> dict[str, Spread]:
    return {name: spread.copy() for name, spread in spreads.items()}


def _counted(counts: Mapping[str, Callable[[], int]]) -> dict[str, int]:
    return {name: count() for name, count in counts.items()}


def _written(moment: Moment) -> bytes:
    # The library takes its time to be imported, and most who start a platform never scrape it.
    from reconciler.control.metrics.exposition import written

    return written(moment)
