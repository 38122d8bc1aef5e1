"""The server as a process: signals, ports, and the data folder."""

import signal
import socket
import sys
from pathlib import Path

from tests.end_to_end.platform import Platform, command, eventually, free_port
from tests.end_to_end.processes import is_alive
from tests.end_to_end.samples import PLATFORM, service
from tests.waiting import until_sync


def running(platform: Platform) -> Platform:
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    return platform.start()


def test_sigterm_finishes_what_began_and_ends_with_0(platform: Platform) -> None:
    running(platform)
    family = platform.family()
    with platform.services.stream("GET", "/api/tasks/events", params={"count": 10, "every": 0.1}) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert platform.server is not None
        platform.server.send_signal(signal.SIGTERM)
        assert [line for line in lines if line][-1] == "data: 1 9"
    assert platform.server.wait(40) == 0
    until_sync(lambda: not any(is_alive(process.pid) for process in family), what="the end of all")


def test_a_second_sigterm_ends_at_once(platform: Platform) -> None:
    platform.commit({"services.yaml": "version: 1\ndefaults: {drain: 60s}\n", **service("tasks")})
    platform.start()
    with platform.services.stream("GET", "/api/tasks/events", params={"count": 1000, "every": 0.1}) as answer:
        next(answer.iter_lines())
        assert platform.server is not None
        platform.server.send_signal(signal.SIGTERM)
        until_sync(lambda: refuses(platform.port), what="the end of accepting")
        platform.server.send_signal(signal.SIGTERM)
        platform.server.wait(20)


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        return True
    return False


def test_ctrl_c_is_a_request_to_end_too(platform: Platform) -> None:
    running(platform)
    assert platform.stop(signal.SIGINT) == 0


def test_after_a_restart_everything_is_as_it_was(platform: Platform) -> None:
    running(platform)
    platform.deploy(service("tasks", "2"))
    before = platform.service("tasks")
    platform.stop()
    platform.start()
    assert platform.version("tasks") == "2"
    after = platform.service("tasks")
    assert after["live"]["id"] == before["live"]["id"], "an equal digest is not a new release"
    for name in ("conditions", "revision_changed", "environment"):
        assert after[name] == before[name], name


def test_a_restart_needs_no_source(platform: Platform) -> None:
    """The forge is down when the machine comes back: what ran runs again."""
    running(platform)
    platform.stop()
    platform.repository.git("branch", "--move", "main", "elsewhere")
    platform.begin()
    until_sync(lambda: platform.said() and serves(platform), within=30, what="the service without its source")


def serves(platform: Platform) -> bool:
    try:
        return platform.version("tasks") == "1"
    except Exception:
        return False


def test_a_port_in_use_is_one_clear_line(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        platform.port = taken.getsockname()[1]
        assert platform.begin().wait(60) == 2
    assert len(platform.said().strip().splitlines()) == 1, platform.said()
    assert str(platform.port) in platform.said()


def test_a_data_folder_in_use_is_one_clear_line(platform: Platform) -> None:
    running(platform)
    ports = ("--port", str(free_port()), "--control-port", str(free_port()))
    done = command("serve", str(platform.repository.path), *ports, data=platform.data)
    assert done.returncode == 2
    assert len((done.stdout + done.stderr).strip().splitlines()) == 1, done
    assert platform.version("tasks") == "1"


def test_a_data_folder_from_a_newer_version_is_left_alone(platform: Platform) -> None:
    running(platform)
    platform.stop()
    (platform.data / "version").write_text("999\n")
    platform.output.unlink()
    assert platform.begin().wait(60) == 2
    assert "newer" in platform.said()


def test_the_commands_find_the_running_server_through_its_data_folder(platform: Platform) -> None:
    running(platform)
    platform.commit(service("tasks", "2"))
    planned = command("plan", data=platform.data)
    assert planned.returncode == 0, planned.stderr
    assert "tasks" in planned.stdout and "replace" in planned.stdout
    assert platform.version("tasks") == "1", "a plan carries nothing out"

    synced = command("sync", "--wait", data=platform.data)
    assert synced.returncode == 0, synced.stderr
    assert platform.version("tasks") == "2"

    assert command("status", "tasks", data=platform.data).returncode == 0
    platform.deploy({"services/tasks/router.py": "import nothing_like_it\n"})
    told = command("status", "tasks", data=platform.data)
    assert told.returncode == 1
    assert "ImportFailed" in told.stdout

    platform.stop()
    assert command("status", data=platform.data).returncode == 3


def test_the_control_plane_asks_for_a_token_and_is_not_on_the_services_port(platform: Platform) -> None:
    running(platform)
    assert platform.control.get("/v1/status", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert platform.services.get("/v1/status").status_code == 404
    assert platform.services.get("/healthz").status_code == 404
    assert (platform.data / "admin-token").stat().st_mode & 0o777 == 0o600
    assert platform.token not in "".join(process.command for process in platform.family())


def test_an_environment_that_does_not_work_any_more_is_built_anew(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    platform.start()
    python = environment_of(platform)
    platform.stop()
    break_python(python)
    platform.start()
    eventually(lambda: platform.version("tasks") == "1", within=30, what="the service")
    assert python.resolve() == Path(sys.executable).resolve()


def test_an_environment_that_cannot_be_mended_is_named(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    platform.start()
    python = environment_of(platform)
    platform.stop()
    break_python(python)
    for lock in (platform.data / "locks").glob("*.json"):
        lock.unlink()
    platform.start()
    eventually(lambda: platform.condition("tasks", "Stalled"), within=30, what="a word about it")
    told = platform.condition("tasks", "Stalled")
    assert told["reason"] == "CrashLoop"
    assert "cannot start again: an environment does not work, and what it was made from is lost" in told["message"]


def environment_of(platform: Platform) -> Path:
    name: str = platform.service("tasks")["live"]["environment"]
    return platform.data / "environments" / name / "bin" / "python"


def break_python(python: Path) -> None:
    """As an upgrade of the machine does it: it is there, and ends at once."""
    python.unlink()
    python.write_text("#!/bin/sh\necho 'cannot open shared object file: libpython' >&2\nexit 127\n")
    python.chmod(0o755)
