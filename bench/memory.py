"""What one more service costs in memory that it shares with nobody."""

from pathlib import Path

from bench.figure import Figure, at_most, told
from bench.stage import running
from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import PLATFORM, service

SERVICES = 100


def run() -> list[Figure]:
    first = service("service-0")
    further = {path: text for n in range(1, SERVICES) for path, text in service(f"service-{n}").items()}
    with running({"services.yaml": PLATFORM, **first}) as platform:
        one = private_of_all(platform, 1)
        platform.deploy(further, within=300)
        hundred = private_of_all(platform, SERVICES)
    megabyte = 1_000_000
    return [
        at_most(
            f"private memory per further service, {SERVICES}", (hundred - one) / (SERVICES - 1) / megabyte, 9, "MB"
        ),
        told("private memory of the platform with one service", one / megabyte, "MB"),
    ]


def private_of_all(platform: Platform, services: int) -> int:
    """Every process counts, ours too: control knows more when there are more services."""
    for number in range(services):
        assert platform.version(f"service-{number}") == "1"
    assert platform.server is not None
    pids = [platform.server.pid, *(process.pid for process in platform.family())]
    return sum(map(private, pids))


def private(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
