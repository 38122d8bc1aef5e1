"""The names under which Prometheus knows what is counted, and what it should be told about each.

docs/monitoring.md lists them all, and a test compares. Every family is told at any time, if only by its name, so that
whoever writes an alert finds it. Refuses to know how anything was counted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from reconciler.control.metrics.figures import ServiceFigures, Spread
from reconciler.control.metrics.moment import Moment
from reconciler.control.metrics.usage import used
from reconciler.model.names import ServiceName

Rows = Iterable[tuple[Sequence[str], float]]

CONNECTIONS = ("accepted", "handed", "returned", "rerouted", "parked", "foreign", "dropped")
ANSWERS = ("answered", "refused")
"""What the gateway counts of connections, and of requests that no worker saw."""
ALWAYS = (2, 5)


def written(moment: Moment) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(moment))
    return generate_latest(registry)


class _Told(Collector):
    def __init__(self, moment: Moment) -> None:
        self._moment = moment

    def collect(self) -> Iterator[Metric]:
        for topic in (_platform, _requests, _gateway, _releases, _workers, _syncs, _cron, _news):
            yield from topic(self._moment)


def _platform(moment: Moment) -> Iterator[Metric]:
    build = InfoMetricFamily("reconciler_build", "The version that runs.")
    build.add_metric([], {"version": moment.version, "python": moment.python})
    yield build
    started, synced = moment.started_at.timestamp(), moment.last_sync.timestamp() if moment.last_sync else 0.0
    yield _gauge("reconciler_start_time_seconds", "When the control process began.", [], [((), started)])
    yield _gauge("reconciler_ready", "1 once the first sync is finished.", [], [((), moment.ready)])
    reachable = [((), moment.source_reachable)]
    yield _gauge("reconciler_source_reachable", "1 while the repository can be followed.", [], reachable)
    yield _gauge("reconciler_last_sync_timestamp_seconds", "When the last sync ended; 0 before.", [], [((), synced)])
    yield _gauge(
        "reconciler_service_condition",
        "1 for each condition of each service, as it is now.",
        ["service", "type", "status", "reason"],
        (
            ((name, one.type, one.status, one.reason), 1)
            for name, station in moment.stations.items()
            for one in station.conditions
        ),
    )


def _requests(moment: Moment) -> Iterator[Metric]:
    yield _counter(
        "reconciler_requests",
        "Requests that a service's workers answered.",
        ["service", "status"],
        (
            ((name, status), count)
            for name, figures in moment.figures.items()
            for status, count in _by_class(figures.answers)
        ),
    )
    yield _counter(
        "reconciler_release_requests",
        "The same by release, for as long as a release has workers.",
        ["service", "release", "status"],
        (
            ((name, release, status), count)
            for name, figures in moment.figures.items()
            for release, one in figures.releases.items()
            for status, count in _by_class(one.answers)
        ),
    )
    yield _counter(
        "reconciler_requests_unanswered",
        "Requests whose client hung up first, or that were cut off.",
        ["service"],
        (((name,), one.unanswered) for name, one in moment.figures.items() if one.unanswered),
    )
    yield _histogram(
        "reconciler_request_duration_seconds",
        "From the end of a request's head to the end of its answer; streams of events are left out.",
        ["service"],
        (((name,), one.times) for name, one in moment.figures.items() if any(one.times.counts)),
    )
    stations = moment.stations.items()
    in_flight = (((name,), one.held.in_flight) for name, one in stations if one.workers)
    yield _gauge("reconciler_requests_in_flight", "Requests that workers have in hand.", ["service"], in_flight)
    held = (((name,), one.held.connections) for name, one in stations if one.workers)
    yield _gauge("reconciler_connections", "Connections that workers hold, WebSockets too.", ["service"], held)


def _gateway(moment: Moment) -> Iterator[Metric]:
    counts = moment.gateway or {}
    is_there = [((), moment.gateway is not None)]
    yield _gauge("reconciler_gateway_up", "1 when the gateway answered in time.", [], is_there)
    held = [((), counts["held"])] if "held" in counts else []
    yield _gauge("reconciler_gateway_held_connections", "Connections that the gateway holds itself.", [], held)
    yield _counter(
        "reconciler_gateway_connections",
        "What became of connections at the gateway; `returned` are those that workers handed back.",
        ["event"],
        (((event,), counts[event]) for event in CONNECTIONS if event in counts),
    )
    yield _counter(
        "reconciler_gateway_requests",
        "Requests that no worker saw: answered by the gateway itself, or refused.",
        ["outcome"],
        (((outcome,), counts[outcome]) for outcome in ANSWERS if outcome in counts),
    )


def _releases(moment: Moment) -> Iterator[Metric]:
    of = _Of(moment.figures)
    told = of.each(lambda one: one.switches)
    yield _counter(
        "reconciler_switches", "Times that the traffic was given to other workers.", ["service", "cause"], told
    )
    told = of.each(lambda one: one.failures)
    yield _counter("reconciler_release_failures", "Releases that failed.", ["service", "reason"], told)
    told = of.each(lambda one: one.suites)
    yield _counter("reconciler_suites", "Suites that were played.", ["service", "verdict"], told)
    suites: list[tuple[Sequence[str], Spread]] = [((), moment.suites)]
    yield _histogram("reconciler_suite_duration_seconds", "How long suites took.", [], suites)
    yield _histogram(
        "reconciler_release_phase_duration_seconds",
        "How long the steps of a release took.",
        ["phase"],
        (((name,), spread) for name, spread in moment.steps.items()),
    )
    yield _histogram(
        "reconciler_environment_build_duration_seconds",
        "How long environments took to build.",
        ["outcome"],
        (((name,), spread) for name, spread in moment.builds.items()),
    )


def _workers(moment: Moment) -> Iterator[Metric]:
    yield _gauge(
        "reconciler_workers",
        "Workers by state.",
        ["service", "state"],
        (
            ((name, state), count)
            for name, station in moment.stations.items()
            for state, count in station.workers.items()
        ),
    )
    told = _Of(moment.figures).each(lambda one: one.restarts)
    yield _counter("reconciler_worker_restarts", "Workers that took a dead one's place.", ["service", "cause"], told)
    usages, labels = used(moment.labours), ["service", "release", "worker"]
    keys = [(one.by.service, one.by.release, one.by.worker) for one in usages]
    memory = zip(keys, (one.memory for one in usages), strict=True)
    yield _gauge("reconciler_worker_memory_bytes", "Memory of a worker's own, and of its children.", labels, memory)
    cpu = zip(keys, (one.cpu for one in usages), strict=True)
    yield _counter("reconciler_worker_cpu_seconds", "Processor time that a worker has used.", labels, cpu)


def _syncs(moment: Moment) -> Iterator[Metric]:
    yield _histogram(
        "reconciler_sync_duration_seconds",
        "How long syncs took.",
        ["state"],
        (((name,), spread) for name, spread in moment.syncs.items()),
    )
    yield _histogram(
        "reconciler_sync_phase_duration_seconds",
        "How long the phases of syncs took.",
        ["phase"],
        (((name,), spread) for name, spread in moment.phases.items()),
    )


def _cron(moment: Moment) -> Iterator[Metric]:
    of = _Of(moment.figures)
    runs = (((name, *key), count) for name, one in moment.figures.items() for key, count in one.runs.items())
    yield _counter("reconciler_cron_runs", "Runs of jobs that ended.", ["service", "job", "outcome"], runs)
    lateness = SummaryMetricFamily(
        "reconciler_cron_lateness_seconds", "How long after its time a run began.", labels=["service", "job"]
    )
    for name, one in moment.figures.items():
        for job, (begun, seconds) in one.lateness.items():
            lateness.add_metric([name, job], begun, seconds)
    yield lateness
    told = of.each(lambda one: one.missed)
    yield _counter("reconciler_cron_missed", "Times of jobs that passed while nobody looked.", ["service", "job"], told)


def _news(moment: Moment) -> Iterator[Metric]:
    webhooks = moment.webhooks.items()
    yield _counter("reconciler_webhooks", "Webhooks that came.", ["provider", "outcome"], webhooks)
    dropped = (((who,), count) for who, count in moment.dropped.items())
    yield _counter("reconciler_notices_dropped", "Notices that somebody was too slow for.", ["by"], dropped)
    waiting = (((name,), count) for name, count in moment.spooled.items())
    yield _gauge("reconciler_spooled_changes", "Changes a destination has not got.", ["destination"], waiting)


class _Of:
    """Sums of every service that have one label more."""

    def __init__(self, figures: Mapping[ServiceName, ServiceFigures]) -> None:
        self._figures = figures

    def each(self, sums: Callable[[ServiceFigures], Mapping[str, int]]) -> Rows:
        return (((name, key), count) for name, one in self._figures.items() for key, count in sums(one).items())


def _by_class(answers: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Good and bad ones also when there are none yet: the first of a series is no increase to Prometheus."""
    return ((f"{digit}xx", count) for digit, count in enumerate(answers) if count or digit in ALWAYS)


def _counter(name: str, help: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = CounterMetricFamily(name, help, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _gauge(name: str, help: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(name, help, labels=labels)
    for values, value in rows:
        family.add_metric(values, float(value))
    return family


def _histogram(name: str, help: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Spread]]) -> Metric:
    family = HistogramMetricFamily(name, help, labels=labels)
    for values, spread in rows:
        family.add_metric(values, list(_cumulative(spread)), spread.seconds)
    return family


def _cumulative(spread: Spread) -> Iterator[tuple[str, float]]:
    so_far = 0
    for bound, count in zip((*spread.bounds, float("inf")), spread.counts, strict=True):
        so_far += count
        yield floatToGoString(bound), so_far  # type: ignore[no-untyped-call]
