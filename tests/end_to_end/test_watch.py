"""Somebody watches from a terminal while things change, break, and are killed."""

import signal

from tests.cli.screens import Terminal
from tests.cli.test_watch import drawn
from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import service


def test_a_watcher_sees_a_release_a_dead_control_and_what_came_after(shared: Platform) -> None:
    with Terminal("status", "--watch", "--data", str(shared.data), columns=100, rows=40) as watch:
        drawn(watch, "✓  steady")
        shared.deploy(service("fresh"))
        assert "fresh-1" in drawn(watch, "✓  fresh")
        shared.kill("control")
        eventually(lambda: shared.control.get("/readyz").status_code == 200, what="control")
        shared.deploy(service("fresh", also="raise SystemExit(1)\n"))
        assert "fresh-1" in drawn(watch, "✗  fresh"), "what was live is live"
        watch.process.send_signal(signal.SIGINT)
        assert watch.wait() == 1
        assert "Traceback" not in watch.seen
