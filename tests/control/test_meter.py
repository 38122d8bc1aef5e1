"""What workers and the platform tell is added up: nothing twice, nothing backwards, nothing for ever."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.control.metrics.figures import Spread
from reconciler.control.metrics.meter import MOST_RELEASES, TOLD_FOR, Meter
from reconciler.model.names import EnvironmentId, ReleaseId, ServiceName
from reconciler.model.notice import Kind, Notice
from reconciler.worker.exit import Exit
from reconciler.worker.served import BOUNDS, Served
from reconciler.worker.spec import ReleaseSpec

TASKS = ServiceName("tasks")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def spec(number: int) -> ReleaseSpec:
    return ReleaseSpec(
        release=ReleaseId(f"tasks-{number}"),
        service=TASKS,
        revision="main@sha1:0",
        environment=EnvironmentId("e" * 32),
        python=Path("/python"),
        code=Path("/code"),
        entry="router:router",
        prefix="/api/tasks",
        output=Path("/output"),
    )


def served(good: int, bad: int = 0) -> Served:
    return Served((0, 0, good, 0, 0, bad), (good + bad, *(0,) * len(BOUNDS)), 0.001 * (good + bad), 0)


def notice(kind: Kind, **data: Any) -> Notice:
    return Notice(kind=kind, at=datetime.now(UTC), message="", service=TASKS, data=data)


def test_a_release_that_retires_takes_nothing_from_its_service() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.served(spec(1), served(7, 1))
    meter.served(spec(2), served(3))
    alive = {TASKS: {ReleaseId("tasks-2")}}
    meter.tidy(alive)
    clock.now += TOLD_FOR / 2
    # It finishes what it began after the switch.
    meter.served(spec(1), served(1))
    meter.tidy(alive)
    assert meter.services[TASKS].releases[ReleaseId("tasks-1")].answers[2] == 8
    clock.now += TOLD_FOR
    meter.tidy(alive)
    assert list(meter.services[TASKS].releases) == ["tasks-2"]
    assert meter.services[TASKS].answers == [0, 0, 11, 0, 0, 1]
    assert sum(meter.services[TASKS].times.counts) == 12


def test_releases_are_bounded_when_nobody_scrapes() -> None:
    meter = Meter()
    for number in range(100):
        meter.served(spec(number), served(1))
    assert len(meter.services[TASKS].releases) == MOST_RELEASES
    assert meter.services[TASKS].answers[2] == 100


def test_a_service_that_is_gone_is_told_for_a_while_and_counts_anew_when_it_comes_back() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.served(spec(1), served(5))
    meter.hear(notice(Kind.SERVICE_REMOVED))
    clock.now += TOLD_FOR - 1
    meter.tidy({})
    assert TASKS in meter.services
    clock.now += 1
    meter.tidy({})
    assert TASKS not in meter.services
    meter.hear(notice(Kind.RELEASE_SWITCHED))
    assert meter.services[TASKS].answers[2] == 0 and meter.services[TASKS].switches == {"release": 1}


def test_a_service_that_comes_back_in_time_goes_on_counting() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.served(spec(1), served(5))
    meter.hear(notice(Kind.SERVICE_REMOVED))
    meter.hear(notice(Kind.RELEASE_SWITCHED))
    clock.now += 2 * TOLD_FOR
    meter.tidy({TASKS: ()})
    assert meter.services[TASKS].answers[2] == 5


def test_what_happens_is_counted_by_what_it_was() -> None:
    meter = Meter()
    meter.hear(notice(Kind.SUITE_PLAYED, verdict="failed", cases=3, seconds=0.2))
    meter.hear(notice(Kind.RELEASE_FAILED, reason="TestsFailed"))
    meter.hear(notice(Kind.ROLLED_BACK))
    meter.hear(notice(Kind.RUN_ENDED, job="tidy", state="done", late=1.5))
    meter.hear(notice(Kind.RUN_ENDED, job="tidy", state="failed", late=None))
    meter.hear(notice(Kind.RUNS_MISSED, job="tidy", missed=4))
    meter.hear(notice(Kind.ACTION_FINISHED, phases={"start": 0.3, "switch": 0.002}))
    meter.hear(notice(Kind.SYNC_FINISHED, state="failed", seconds=2.0, phases={"fetch": 0.1}))
    meter.replaced(spec(1), Exit(9))
    meter.replaced(spec(1), Exit(9, out_of_memory=True))
    figures = meter.services[TASKS]
    assert (figures.suites, figures.failures) == ({"failed": 1}, {"TestsFailed": 1})
    assert figures.switches == {"rollback": 1}
    assert figures.runs == {("tidy", "done"): 1, ("tidy", "failed"): 1}
    assert figures.lateness == {"tidy": (1, 1.5)} and figures.missed == {"tidy": 4}
    assert figures.restarts == {"signal": 1, "out_of_memory": 1}
    assert set(meter.steps) == {"start", "switch"} and set(meter.phases) == {"fetch"}
    assert sum(meter.syncs["failed"].counts) == 1


def test_a_duration_belongs_to_the_class_whose_bound_it_reaches() -> None:
    spread = Spread((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.11, 1.0, 50.0):
        spread.note(seconds)
    assert spread.counts == [2, 2, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"answers": [0] * 5},
        {"answers": [0, 0, -1, 0, 0, 0]},
        {"answers": "many"},
        {"times": [0] * 99},
        {"seconds": float("nan")},
        {"seconds": -1},
        {"unanswered": 1.5},
    ],
    ids=str,
)
def test_a_worker_that_counts_oddly_is_not_believed(change: dict[str, Any]) -> None:
    message = {"answers": [0] * 6, "times": [0] * (len(BOUNDS) + 1), "seconds": 0, "unanswered": 0}
    assert Served.of(message).total == 0
    with pytest.raises(ValueError, match="a worker"):
        Served.of({**message, **change})
