"""The supervisor as a real process, over children that do as they are told."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reconciler.data_folder import read_address
from reconciler.settings import Settings
from tests.waiting import until_sync

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Note:
    name: str
    what: str
    pid: int
    at: float


@dataclass
class Platform:
    """One started supervisor and what its children noted."""

    folder: Path
    process: subprocess.Popen[str]
    seen: set[int] = field(default_factory=set)

    def notes(self, name: str = "", what: str = "") -> list[Note]:
        path = self.folder / "notes"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        found = [Note(line[0], line[1], int(line[2]), float(line[3])) for line in lines]
        return [note for note in found if name in ("", note.name) and note.what.startswith(what)]

    def started(self, name: str, times: int = 1) -> Note:
        until_sync(lambda: len(self.notes(name, "started")) >= times, what=f"{name} started {times} times")
        return self.notes(name, "started")[-1]

    def pids(self) -> set[int]:
        """Everybody who ever said its own number, and their children."""
        children = {int(note.what.partition("=")[2]) for note in self.notes(what="child=")}
        return {self.process.pid, *children, *(note.pid for note in self.notes())}

    def ends(self, within: float = 30.0) -> int:
        try:
            return self.process.wait(within)
        finally:
            self.process.kill()

    def said(self) -> str:
        return (self.folder / "said").read_text()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def settings(data: Path, **changes: Any) -> str:
    chosen: dict[str, Any] = {"port": 0, "control_port": 0, **changes}
    return Settings(repository="/r", branch="main", data=data, **chosen).to_json()


@contextmanager
def platform(data: Path, gateway: str = "", control: str = "", **changes: Any) -> Iterator[Platform]:
    folder = Path(os.fspath(data.parent)) / f"run-{time.monotonic_ns()}"
    folder.mkdir()
    environment = {
        **os.environ,
        "GATEWAY_DOES": gateway,
        "CONTROL_DOES": control,
        "STAND_IN_NOTES": str(folder / "notes"),
    }
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.supervisor.start", settings(data, **changes)],
            cwd=ROOT,
            env=environment,
            stderr=said,
            text=True,
        )
    running = Platform(folder, process)
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        until_sync(lambda: not alive(running.pids()), what="everything gone")


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if _is_alive(pid)}


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def refused(data: Path, **changes: Any) -> str:
    """Start a supervisor that must refuse, and return the one line it says."""
    with platform(data, **changes) as second:
        assert second.ends() == 2
        lines = second.said().splitlines()
        assert len(lines) == 1, lines
        assert not second.notes(), "nothing may be started"
        return lines[0]


def test_both_children_start_and_the_address_is_written_down(data: Path) -> None:
    with platform(data) as first:
        first.started("gateway")
        first.started("control")
        address = read_address(data)
        assert address is not None
        assert address.pid == first.process.pid
        port = int(address.control.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        run = Path((data / "run").read_text().strip())
        assert run.stat().st_mode & 0o777 == 0o700
        first.process.terminate()
        assert first.ends() == 0
        assert read_address(data) is None
        assert not run.exists()


def test_the_admin_token_is_private_and_stays_the_same(data: Path) -> None:
    tokens = []
    for _ in range(2):
        with platform(data) as one:
            one.started("control")
            token = data / "admin-token"
            assert token.stat().st_mode & 0o777 == 0o600
            tokens.append(token.read_text())
            assert tokens[-1].strip() not in one.said()
            one.process.terminate()
            assert one.ends() == 0
    assert tokens[0].startswith("rcl_")
    assert len(set(tokens)) == 1


@pytest.mark.parametrize(("which", "flag"), [("port", "--port"), ("control_port", "--control-port")])
def test_a_port_in_use_is_one_clear_line(data: Path, which: str, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(data, **{which: port})
    assert said == f"reconciler: port {port} is in use; choose another with {flag}"


def test_an_address_of_another_machine_is_one_clear_line(data: Path) -> None:
    assert "192.0.2.1 is no address of this machine" in refused(data, host="192.0.2.1")


def test_a_data_folder_in_use_is_one_clear_line(data: Path) -> None:
    with platform(data) as first:
        first.started("control")
        said = refused(data)
        used = f"another reconciler (pid {first.process.pid}) uses this data folder: {data}"
        assert said == f"reconciler: {used}; choose another with --data"
        assert alive({first.process.pid})


def test_a_newer_data_folder_is_one_clear_line_and_stays_untouched(data: Path) -> None:
    data.mkdir()
    (data / "version").write_text("2\n")
    said = refused(data)
    assert "newer reconciler" in said
    assert (data / "version").read_text() == "2\n"
    assert not (data / "admin-token").exists()


def test_a_data_folder_that_is_a_file_is_one_clear_line(data: Path) -> None:
    data.write_text("")
    assert "choose another with --data" in refused(data)


@pytest.mark.parametrize("name", ["gateway", "control"])
def test_a_child_killed_with_9_returns_at_once(data: Path, name: str) -> None:
    with platform(data) as running:
        first = running.started(name)
        running.started("control")
        other = running.started("control" if name == "gateway" else "gateway")
        os.kill(first.pid, signal.SIGKILL)
        began = time.monotonic()
        second = running.started(name, times=2)
        assert second.pid != first.pid
        assert second.at - began < 10
        assert alive({other.pid}), "the other one must not notice"


def test_a_child_that_keeps_dying_is_started_ever_later(data: Path) -> None:
    with platform(data, gateway="exit=1") as running:
        running.started("gateway", times=5)
        at = [note.at for note in running.notes("gateway", "started")]
        gaps = [later - earlier for earlier, later in pairwise(at)]
        assert gaps[1] >= 0.1 and gaps[2] >= 0.2 and gaps[3] >= 0.4


def test_control_that_will_fail_the_same_way_takes_everything_down(data: Path) -> None:
    with platform(data, control="exit=2") as running:
        assert running.ends() == 2
        assert len(running.notes("control", "started")) == 1
        assert not alive(running.pids())


def test_sigterm_drains_control_before_the_gateway_is_told(data: Path) -> None:
    with platform(data, control="linger=0.3") as running:
        running.started("gateway")
        running.started("control")
        running.process.terminate()
        assert running.ends() == 0
        order = [(note.name, note.what) for note in running.notes() if note.what in ("told", "ended")]
        assert order == [("control", "told"), ("control", "ended"), ("gateway", "told"), ("gateway", "ended")]


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_everything_at_once(data: Path, again: signal.Signals) -> None:
    with platform(data, control="deaf child") as running:
        running.started("gateway")
        running.started("control")
        running.process.terminate()
        until_sync(lambda: running.notes("control", "told"), what="control told")
        running.process.send_signal(again)
        assert running.ends() == 1
        assert not alive(running.pids())


def test_a_signal_is_heard_at_once_during_a_back_off(data: Path) -> None:
    with platform(data, control="exit=1", gateway="exit=1") as running:
        running.started("control", times=6)
        began = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert running.ends() == 1, "nobody has asked the workers to finish"
        assert time.monotonic() - began < 10


def test_control_that_is_not_there_is_started_once_more_to_drain(data: Path, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    with platform(data, control=f"exit=1 unless={mended}") as running:
        running.started("gateway")
        running.started("control", times=6)
        mended.touch()
        running.process.terminate()
        assert running.ends() == 0
        assert len(running.notes("control", "ended")) == 1


def test_a_signal_that_comes_before_control_can_hear_it_is_kept_for_it(data: Path) -> None:
    with platform(data, control="slow=3") as running:
        running.started("gateway")
        running.process.terminate()
        assert running.ends() == 0
        assert [note.what for note in running.notes("control")] == ["told", "started", "ended"]


def test_control_that_dies_over_the_drain_is_replaced_once(data: Path) -> None:
    with platform(data, control="linger=3") as running:
        first = running.started("control")
        running.process.terminate()
        until_sync(lambda: running.notes("control", "told"), what="control told")
        os.kill(first.pid, signal.SIGKILL)
        assert running.ends() == 0
        assert len(running.notes("control", "started")) == 2


def test_a_gateway_that_dies_during_the_drain_returns(data: Path) -> None:
    with platform(data, control="linger=5") as running:
        gateway = running.started("gateway")
        running.started("control")
        running.process.terminate()
        until_sync(lambda: running.notes("control", "told"), what="control told")
        os.kill(gateway.pid, signal.SIGKILL)
        running.started("gateway", times=2)
        assert not running.notes("control", "ended")
        assert running.ends() == 0


def test_ctrl_c_of_a_terminal_reaches_only_the_supervisor(data: Path) -> None:
    with platform(data) as running:
        running.started("gateway")
        running.started("control")
        groups = {os.getpgid(pid) for pid in running.pids()}
        assert len(groups) == len(running.pids())
        running.process.send_signal(signal.SIGINT)
        assert running.ends() == 0
        assert not running.notes(what="interrupted")


def test_a_killed_supervisor_leaves_nothing_behind(data: Path) -> None:
    with platform(data) as running:
        running.started("gateway")
        running.started("control")
        run = Path((data / "run").read_text().strip())
        running.process.kill()
        assert running.ends() == -9
        until_sync(lambda: not alive(running.pids()), what="all children gone")
        assert run.exists()
    with platform(data) as successor:
        successor.started("control")
        assert not run.exists(), "the leftovers go when the next one starts"


def test_the_successor_of_a_killed_supervisor_takes_over_its_ports(data: Path) -> None:
    with platform(data) as running:
        running.started("gateway")
        running.started("control")
        address = read_address(data)
        assert address is not None
        ports = [int(one.rpartition(":")[2]) for one in (address.services, address.control)]
        running.process.kill()
        with platform(data, port=ports[0], control_port=ports[1]) as successor:
            successor.started("control")
            assert read_address(data) is not None


def test_a_copied_data_folder_does_not_harm_the_original(data: Path, tmp_path: Path) -> None:
    with platform(data) as original:
        original.started("control")
        run = Path((data / "run").read_text().strip())
        shutil.copytree(data, tmp_path / "copy")
        with platform(tmp_path / "copy") as other:
            other.started("control")
            assert run.exists()


def test_orphans_of_children_are_adopted_and_gone_at_the_end(data: Path) -> None:
    with platform(data, control="child") as running:
        first = running.started("control")
        orphan = int(running.notes("control", "child=")[0].what.partition("=")[2])
        os.kill(first.pid, signal.SIGKILL)
        running.started("control", times=2)
        assert Path(f"/proc/{orphan}/stat").read_text().rpartition(")")[2].split()[1] == str(running.process.pid)
        os.kill(orphan, signal.SIGKILL)
        until_sync(lambda: not Path(f"/proc/{orphan}").exists(), what="the orphan reaped")
        running.process.terminate()
        assert running.ends() == 0
        assert not alive(running.pids())


def test_the_current_folder_cannot_shadow_our_modules(data: Path, tmp_path: Path) -> None:
    """The repository that is followed is often the current folder."""
    hostile = tmp_path / "repository"
    hostile.mkdir()
    (hostile / "uuid.py").write_text("raise SystemExit('shadowed')")
    start = "subprocess.call([*s.PROGRAMS['control'][:2], '-c', 'import uuid, reconciler'], env=s._environment())"
    code = f"import subprocess, sys, reconciler.supervisor as s; sys.exit({start})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=hostile, env=environment, timeout=20)
    assert done.returncode == 0
