"""`status --watch`: redrawn on a terminal, line by line in a pipe, and through whatever happens to the server."""

import json
import re
import signal
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from reconciler.cli.bell import Bell
from reconciler.model.notice import Kind, Notice
from tests.api.platform import Past, Still
from tests.api.statuses import SINCE, condition, failing, service
from tests.cli.running import reconciler, served
from tests.cli.screens import SHADE, Terminal
from tests.cli.test_logs import running
from tests.waiting import until_sync

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


class Deaf(Past):
    """Nobody tells anything, so that looking is all there is."""

    def listen(self) -> NoReturn:
        raise RuntimeError("no events here")


@pytest.fixture
def platform(tmp_path: Path) -> Still:
    platform = Still(service("notes"), service("tasks"), logs=tmp_path)
    platform.history = Deaf(platform)
    return platform


def frames(terminal: Terminal) -> list[str]:
    """What was drawn, one after the other."""
    text = SHADE.sub("", terminal.seen.partition(ENTER)[2].partition(LEAVE)[0])
    return [re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", frame) for frame in text.split("\x1b[H")[1:]]


def drawn(terminal: Terminal, words: str) -> str:
    return until_sync(
        lambda: next((each for each in frames(terminal)[-1:] if words in each), ""), within=30, what=words
    )


def test_a_terminal_is_redrawn_and_left_as_it_was(platform: Still, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(platform, data), Terminal("status", "--watch", "--data", str(data), columns=60) as terminal:
        assert "✓  tasks  Ready" in drawn(terminal, "Ctrl-C ends")
        platform.all["zebra"] = failing("zebra")
        shown = drawn(terminal, "zebra")
        assert shown.index("zebra") < shown.index("notes"), "what is wrong comes first"
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 1
        before, _, after = terminal.seen.partition(LEAVE)
        assert "\x1b[?25l" in before and before.endswith("\x1b[?25h"), "the cursor is back"
        assert "zebra" in after and "Traceback" not in terminal.seen


def test_a_frame_is_never_larger_than_the_terminal(platform: Still, tmp_path: Path) -> None:
    platform.all = {name: service(name) for name in (f"s{number:03}" for number in range(100))}
    platform.all["s099"] = failing("s099")
    data = tmp_path / "data"
    with served(platform, data), Terminal("status", "-w", "--data", str(data), columns=40, rows=12) as terminal:
        lines = drawn(terminal, "Ctrl-C ends").splitlines()
        assert len(lines) <= 12 and any("s099" in line for line in lines)
        assert re.search(r"… \d+ more lines", "\n".join(lines))
        terminal.resize(40, 30)
        until_sync(lambda: 20 < len(frames(terminal)[-1].splitlines()) <= 30, within=30, what="a larger frame")


class Heard:
    """The command, and the lines that it has printed so far."""

    def __init__(self, data: Path, *words: str) -> None:
        self._running = running(data, *words)
        self.process = self._running.__enter__()
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def has(self, count: int) -> None:
        until_sync(lambda: len(self.lines) >= count, within=30, what=f"{count} lines")
        assert len(self.lines) == count, self.lines

    def ended_by(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        code = self.process.wait(20)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()

    def __enter__(self) -> "Heard":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._reading.join()
        self._running.__exit__(None, None, None)


def test_a_pipe_gets_everything_once_and_then_what_changes(platform: Still, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(platform, data), Heard(data, "status", "--watch") as watch:
        watch.has(3)
        assert [line.split()[1:4] for line in watch.lines] == [
            ["✓", "main@01234567", "applied"],
            ["✓", "notes", "Ready"],
            ["✓", "tasks", "Ready"],
        ]
        platform.all["tasks"] = service("tasks", condition("Stalled", "True", "ImportFailed", "No module named nope."))
        watch.has(4)
        assert watch.lines[3].endswith("✗  tasks  Stalled  ImportFailed  tasks-1  main@01234567  No module named nope.")
        del platform.all["notes"]
        watch.has(5)
        assert watch.lines[4].endswith("-  notes  gone")
        assert watch.ended_by(signal.SIGTERM) == (1, "")


def test_it_outlives_the_server_and_says_so(platform: Still, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "status", "--watch") as nobody:
        assert nobody.wait(20) == 3, "there must be one at first"
    with served(platform, data):
        watch = Heard(data, "status", "tasks", "--watch", "--json")
        watch.has(1)
    with watch:
        platform.all["tasks"] = failing("tasks")
        assert watch.process.stderr is not None
        assert watch.process.stderr.readline() == "reconciler: the server went away; waiting for it\n"
        with served(platform, data):
            watch.has(2)
            told = [json.loads(line)["service"] for line in watch.lines]
            assert [each["problems"] != [] for each in told] == [False, True]
            assert watch.ended_by(signal.SIGINT) == (1, "")


def test_an_event_rings_at_once_and_so_does_the_end_of_the_server(tmp_path: Path) -> None:
    platform, data = Still(service("tasks"), logs=tmp_path), tmp_path / "data"
    with Bell(data, None) as bell:
        with served(platform, data):
            assert bell.wait(30), "somebody is heard"
            listeners = platform.history.listeners
            until_sync(lambda: listeners, within=30, what="the listener")
            assert bell.is_heard and not bell.wait(0.01)
            switched = Notice(kind=Kind.RELEASE_SWITCHED, at=SINCE, message="went live", id=9)
            listeners[-1].tell(switched)
            # Told from another thread, it is heard when the server next has something to do.
            assert reconciler("status", "--data", str(data)).returncode == 0
            assert bell.wait(30)
        assert bell.wait(30)
        assert not bell.is_heard
