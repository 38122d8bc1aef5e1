"""What reading manifests costs: two hundred good ones beside bare PyYAML, and each hostile one of the corpus."""

import time
import tracemalloc
from collections.abc import Callable

import yaml

from bench.figure import Figure, at_most, ratio, told
from reconciler.model.document import Invalid, load
from reconciler.model.names import ServiceName
from reconciler.model.platform import Platform, effective
from tests.manifest.corpus import CORPUS

ROUNDS = 7
SERVICES = 200
FILE = "services/tasks/service.yaml"
NAME = ServiceName("tasks")
GOOD = b"""version: 1
description: Tasks, as a team would write it
entry: router:router
requirements:
  - httpx>=0.28
  - sqlalchemy>=2,<3
env: {PAGE_SIZE: "50"}
tests: [tests.yaml]
drain: 30s
timeout: {start: 30s, request: 60s}
limits: {memory: 512MiB, files: 1024}
depends_on: [auth]
watch: [shared/*]
"""


def run() -> list[Figure]:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(_seconds_of(_read_barely))
        ours.append(_seconds_of(_read))
    slowest = max(_refusal(hostile.content) for hostile in CORPUS)
    largest = max(_peak(hostile.content) for hostile in CORPUS)
    return [
        at_most("200 manifests read and validated ÷ yaml.safe_load of them", ratio(ours, theirs), 10),
        at_most("slowest hostile manifest refused", slowest * 1e3, 50, "ms"),
        at_most("memory of the largest hostile manifest", largest / 1e6, 50, "MB"),
        told("hostile manifests in the corpus", len(CORPUS), ""),
    ]


def _refusal(content: bytes) -> float:
    return min(_seconds_of(lambda: _refuse(content)) for _ in range(3))


def _read() -> None:
    for _ in range(SERVICES):
        effective(Platform(), load(GOOD, FILE), NAME)


def _read_barely() -> None:
    for _ in range(SERVICES):
        yaml.safe_load(GOOD)


def _refuse(content: bytes) -> None:
    try:
        effective(Platform(), load(content, FILE), NAME)
    except Invalid:
        return
    raise AssertionError("a hostile manifest was accepted")


def _peak(content: bytes) -> int:
    tracemalloc.start()
    try:
        _refuse(content)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _seconds_of(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
