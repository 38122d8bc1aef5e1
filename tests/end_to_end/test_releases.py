"""Releases under load: the clients must not be able to tell that there was one."""

import pytest

from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import PLATFORM, service
from tests.end_to_end.traffic import Traffic


@pytest.fixture
def two(platform: Platform) -> Platform:
    platform.commit({"services.yaml": PLATFORM, **service("tasks", "0"), **service("other")})
    return platform.start()


def test_fifty_clients_and_five_hundred_idle_connections_notice_no_release(two: Platform) -> None:
    with Traffic(two.port, ["/api/tasks", "/api/other"], clients=50, idle=500, think=0.05) as traffic:
        for version in range(1, 11):
            two.deploy(service("tasks", str(version)))
            traffic.wake("/api/tasks/echo")
        traffic.settle()
    tally = traffic.tally
    assert (tally.lost, tally.closed, tally.connections) == (0, 0, 550), tally
    assert tally.versions["10"] >= 500, tally


def test_a_broken_release_under_load_changes_nothing_for_anyone(two: Platform) -> None:
    with Traffic(two.port, ["/api/tasks", "/api/other"]) as traffic:
        for also in ("import does_not_exist\n", "raise RuntimeError('no')\n", "import sys\nsys.exit(1)\n"):
            two.deploy(service("tasks", "broken", also=also))
        traffic.settle()
    assert (traffic.tally.lost, traffic.tally.closed) == (0, 0), traffic.tally
    assert "broken" not in traffic.tally.versions


def test_what_was_begun_is_finished_by_the_release_that_began_it(two: Platform) -> None:
    with Traffic(two.port, ["/api/other"], clients=1) as traffic:
        with two.services.stream("GET", "/api/tasks/events", params={"count": 20, "every": 0.05}) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "data: 0 0"
            two.deploy(service("tasks", "1"))
            assert two.version("tasks") == "1"
            rest = [line for line in lines if line]
        assert rest[-1] == "data: 0 19"
        traffic.settle()
    assert traffic.tally.lost == 0, traffic.tally


def test_several_replicas_share_the_work_and_are_replaced_together(two: Platform) -> None:
    two.deploy(service("tasks", "1", manifest="replicas: 3\n"))
    assert len(two.service("tasks")["workers"]) == 3
    with Traffic(two.port, ["/api/tasks"], clients=12) as traffic:
        traffic.settle(100)
        two.deploy(service("tasks", "2", manifest="replicas: 3\n"))
        traffic.settle(100)
    assert (traffic.tally.lost, traffic.tally.closed) == (0, 0), traffic.tally
    two.deploy(service("tasks", "3"))
    assert len([w for w in two.service("tasks")["workers"] if w["state"] == "ready"]) == 1


def test_a_suspended_service_keeps_its_release_until_it_is_resumed(two: Platform) -> None:
    two.deploy({"services.yaml": PLATFORM + "overrides: {tasks: {suspend: true}}\n"})
    two.deploy(service("tasks", "1"))
    assert two.version("tasks") == "0"
    assert two.condition("tasks", "Suspended")["status"] == "True"
    two.deploy({"services.yaml": PLATFORM})
    assert two.version("tasks") == "1"
