"""From `git push` to the prompt, with the service live: against the same push to a bare repository."""

import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.figure import Figure, at_most, ratio, told
from bench.stage import version_at
from tests.end_to_end.platform import Platform
from tests.end_to_end.pushing import TALKING, push, remote
from tests.end_to_end.samples import PLATFORM, service

ROUNDS = 30
WARM_UP = 3


def run() -> list[Figure]:
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with Platform(folder, receives=True) as server:
            server.start()
            server.commit({"services.yaml": PLATFORM, **service("tasks")})
            assert push(server, within=300).code == 0
            live, bare = side_by_side(server, bare_repository(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [
        at_most("git push → live ÷ the same push to a bare repository", ratio(live, bare), 4),
        told("git push → prompt back with the service live, median", statistics.median(live) * 1000, "ms"),
        told("git push to a bare repository by path, median", statistics.median(bare) * 1000, "ms"),
    ]


def bare_repository(folder: Path) -> Path:
    bare = folder / "bare.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], env=TALKING, check=True, timeout=60)
    return bare


def side_by_side(server: Platform, bare: Path) -> tuple[list[float], list[float]]:
    """Every round commits once and pushes it both ways, beginning with another one each time."""
    live: list[float] = []
    plain: list[float] = []
    for number in range(ROUNDS + WARM_UP):
        server.commit(service("tasks", f"round-{number}"))
        ways = [(live, remote(server)), (plain, str(bare))]
        for taken, address in ways if number % 2 else ways[::-1]:
            taken.append(seconds_of_push(server.repository.path, address))
        assert version_at(server.port) == f"round-{number}", "the prompt was back before the service was live"
    return live[WARM_UP:], plain[WARM_UP:]


def seconds_of_push(repository: Path, address: str) -> float:
    begun = time.perf_counter()
    words = ["git", "push", "--quiet", address, "main"]
    # Without a timeout: with one, Python looks whether it has ended after 15, 31, 63 and 113 ms.
    subprocess.run(words, cwd=repository, env=TALKING, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun
