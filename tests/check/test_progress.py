"""What is being done is shown where somebody looks, and nowhere else."""

from io import StringIO

import pytest

from reconciler.cli.progress import Progress


class Screen(StringIO):
    def isatty(self) -> bool:
        return True


def work(progress: Progress) -> None:
    progress.expect(2)
    progress.say("tasks", "starting\x1b[31m")
    progress.say("tasks", "checked")


def test_a_terminal_sees_one_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    with Progress.on(screen) as progress:
        work(progress)
    assert screen.getvalue().split("\r\x1b[K") == ["", "[0/2] tasks: starting\\x1b[31m", "[1/2] tasks: checked", ""]


def test_what_nobody_counted_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    with Progress.on(screen) as progress:
        progress.say("tasks", "starting")
    assert screen.getvalue().split("\r\x1b[K") == ["", "tasks: starting", ""]


def test_a_log_sees_nothing() -> None:
    log = StringIO()
    with Progress.on(log) as progress:
        work(progress)
    assert log.getvalue() == ""
