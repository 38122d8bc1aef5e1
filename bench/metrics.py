"""What it costs to count every request, to time it, and to tie what is logged to it: with all of that, and without.

There is no switch for it in the product, so the other side is a copy of our code from which the counting was cut out.
What is cut is looked for word by word: when the code changes, this says so instead of measuring nothing.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figure import Figure, at_least, ratio, told
from bench.load import Load, drive
from bench.stage import running
from bench.traffic import rates, side_by_side
from tests.end_to_end.platform import ROOT, Platform
from tests.waiting import until_sync

SECONDS = 3.0
CUT = {
    "connection.py": (
        "        self.began = perf_counter()\n",
        "        elif self.cycle.is_endless:\n"
        "            self.traffic.tally.answered_untimed(self.cycle.status)\n"
        "        else:\n"
        "            self.traffic.tally.answered(self.cycle.status, perf_counter() - self.began)\n",
    ),
    "cycle.py": (
        '                self.status = message["status"]\n',
        '        self.status = message["status"]\n',
        "        REQUEST.set(self.scope.get(REQUEST_KEY))  # type: ignore[arg-type]\n",
    ),
    "traffic.py": ("        self.tally.stir()\n",),
}
"""Of what runs inside a service, at every request."""


def run() -> list[Figure]:
    with without_counting() as copy, running() as counted, running(variables={"PYTHONPATH": str(copy)}) as uncounted:
        assert_counts(counted, uncounted)
        urls = [f"http://127.0.0.1:{platform.port}/api/tasks/version" for platform in (counted, uncounted)]
        for url in urls:
            drive(url, seconds=1)
        costs: dict[str, list[float]] = {url: [] for url in urls}
        workers = dict(zip(urls, (counted.worker("tasks"), uncounted.worker("tasks")), strict=True))

        def measure(url: str) -> Load:
            before = cpu(workers[url])
            load = drive(url, seconds=SECONDS)
            costs[url].append((cpu(workers[url]) - before) / (load.rate * SECONDS))
            return load

        ours, bare = side_by_side(urls, measure)
    return [
        at_least("metrics and request ids in logs, on ÷ off, requests/s", ratio(*rates(ours, bare)), 0.95),
        told("the same, processor time of the worker per request", ratio(costs[urls[0]], costs[urls[1]]), "×"),
    ]


@contextmanager
def without_counting() -> Iterator[Path]:
    """A folder with our code, less what counts."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        shutil.copytree(ROOT / "reconciler", folder / "reconciler", ignore=shutil.ignore_patterns("__pycache__"))
        for name, pieces in CUT.items():
            file = folder / "reconciler" / "inside" / name
            text = file.read_text()
            for piece in pieces:
                assert piece in text, f"{name} does not count as it did: {piece}"
                text = text.replace(piece, "")
            file.write_text(text)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def assert_counts(counted: Platform, uncounted: Platform) -> None:
    """One counts, the other does not, and both serve."""
    for platform in (counted, uncounted):
        for _ in range(50):
            assert platform.version("tasks") == "1"
    until_sync(lambda: timed(counted) >= 50, within=20, what="the counts")
    assert timed(uncounted) == 0


def timed(platform: Platform) -> float:
    text = platform.control.get("/metrics").raise_for_status().text
    told = (line for line in text.splitlines() if line.startswith("reconciler_request_duration_seconds_count"))
    return sum(float(line.rpartition(" ")[2]) for line in told)


def cpu(pid: int) -> float:
    """Ticks of user and system time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return float(fields[11]) + float(fields[12])
