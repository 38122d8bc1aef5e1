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

Measure = Callable[[Platform, Path, str], float]
RELEASES = 30
RELOADS = 10


def run() -> list[Figure]:
    with running() as platform:
        releases, fetches = commit_and_wait(platform)
        reloads = save_and_wait(platform.folder / "reload")
    live, fetch, reload = (statistics.median(each) for each in (releases, fetches, reloads))
    return [
        at_most("commit → live ÷ bare git fetch", live / fetch, 5),
        at_least("uvicorn --reload ÷ commit → live", reload / live, 8),
        told("commit → live, median", live * 1000, "ms"),
        told("bare git fetch, median", fetch * 1000, "ms"),
        told("uvicorn --reload (watchfiles), median", reload * 1000, "ms"),
    ]


def commit_and_wait(platform: Platform) -> tuple[list[float], list[float]]:
    mirror = platform.folder / "mirror.git"
    git(platform.folder, "clone", "--quiet", "--bare", str(platform.repository.path), str(mirror))
    taken: dict[Measure, list[float]] = {release: [], fetch: []}
    for number in range(RELEASES + 2):
        platform.commit(service("tasks", f"release-{number}"))
        for measure in (release, fetch) if number % 2 else (fetch, release):
            taken[measure].append(measure(platform, mirror, f"release-{number}"))
    return taken[release][2:], taken[fetch][2:]


def release(platform: Platform, _mirror: Path, version: str) -> float:
    begun = time.perf_counter()
    platform.control.post("/v1/sync").raise_for_status()
    seconds_until(platform.port, version)
    return time.perf_counter() - begun


def fetch(_platform: Platform, mirror: Path, _version: str) -> float:
    begun = time.perf_counter()
    git(mirror, "fetch", "--quiet", "origin", "main")
    return time.perf_counter() - begun


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, env=AUTHOR, check=True, timeout=60)


def save_and_wait(folder: Path) -> list[float]:
    with environment_of_its_own(folder) as python, plain_uvicorn(python, folder / "code", "--reload") as port:
        return [save(folder / "code", port, f"reload-{number}") for number in range(RELOADS)]


def save(folder: Path, port: int, version: str) -> float:
    begun = time.perf_counter()
    (folder / "router.py").write_text(ROUTER.format(version=version))
    seconds_until(port, version)
    return time.perf_counter() - begun


@contextmanager
def environment_of_its_own(folder: Path) -> Iterator[Path]:
    """What a person installs for the inner loop: `uvicorn[standard]`, which watches files with watchfiles."""
    python = folder / "environment" / "bin" / "python"
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "--quiet", str(folder / "environment")], check=True, timeout=120)
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "fastapi", "uvicorn[standard]"]
    subprocess.run(install, check=True, timeout=300)
    yield python
