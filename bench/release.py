"""From a commit to its answer: against a bare `git fetch` of the same commit, and against `uvicorn --reload`."""

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from uv import find_uv_bin

from bench.figure import Figure, at_least, at_most, told
from bench.stage import plain_uvicorn, running, seconds_until
from tests.end_to_end.platform import Platform
from tests.end_to_end.repository import AUTHOR
from tests.end_to_end.samples import ROUTER, service

Measure = Callable[[str], float]
ROUNDS = 30
WARM_UP = 2


def run() -> list[Figure]:
    with running() as platform, reloading(platform.folder / "reload") as reload:
        taken = side_by_side(platform, [release_of(platform), fetch_of(platform), reload])
    live, fetch, saved = (statistics.median(each) for each in taken)
    return [
        at_most("commit → live ÷ bare git fetch", live / fetch, 5),
        at_least("uvicorn --reload ÷ commit → live", saved / live, 8),
        told("commit → live, median", live * 1000, "ms"),
        told("bare git fetch, median", fetch * 1000, "ms"),
        told("uvicorn --reload (watchfiles), median", saved * 1000, "ms"),
    ]


def side_by_side(platform: Platform, measures: list[Measure]) -> list[list[float]]:
    """Every round commits once and measures each way, beginning with another one each time."""
    taken: list[list[float]] = [[] for _ in measures]
    for number in range(ROUNDS + WARM_UP):
        version = f"round-{number}"
        platform.commit(service("tasks", version))
        for turn in range(len(measures)):
            which = (number + turn) % len(measures)
            taken[which].append(measures[which](version))
    return [each[WARM_UP:] for each in taken]


def release_of(platform: Platform) -> Measure:
    def release(version: str) -> float:
        begun = time.perf_counter()
        platform.control.post("/v1/sync").raise_for_status()
        seconds_until(platform.port, version)
        return time.perf_counter() - begun

    return release


def fetch_of(platform: Platform) -> Measure:
    mirror = platform.folder / "mirror.git"
    git(platform.folder, "clone", "--quiet", "--bare", str(platform.repository.path), str(mirror))

    def fetch(_version: str) -> float:
        begun = time.perf_counter()
        git(mirror, "fetch", "--quiet", "origin", "main")
        return time.perf_counter() - begun

    return fetch


@contextmanager
def reloading(folder: Path) -> Iterator[Measure]:
    """The inner loop as people have it today: `uvicorn[standard]`, which watches files with watchfiles."""
    with plain_uvicorn(environment_of_its_own(folder), folder / "code", "--reload") as port:

        def save(version: str) -> float:
            begun = time.perf_counter()
            (folder / "code" / "router.py").write_text(ROUTER.format(version=version))
            seconds_until(port, version)
            return time.perf_counter() - begun

        yield save


def environment_of_its_own(folder: Path) -> Path:
    uv, python = find_uv_bin(), folder / "environment" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", str(folder / "environment")], check=True, timeout=120)
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "fastapi", "uvicorn[standard]"]
    subprocess.run(install, check=True, timeout=300)
    return python


def git(folder: Path, *words: str) -> None:
    # Without a timeout: with one, Python looks whether it has ended after 15, 31 and 63 ms.
    subprocess.run(["git", *words], cwd=folder, env=AUTHOR, check=True)
