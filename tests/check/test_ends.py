"""However a check ends, nothing that it started stays."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.check.running import COMMAND, environ, service
from tests.end_to_end.processes import all_processes, descendants
from tests.end_to_end.repository import Repository
from tests.waiting import until_sync

SLOW = """
import pathlib, time
pathlib.Path("{mark}").touch()
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running(repository: Repository, data: Path, tmp_path: Path, number: signal.Signals) -> None:
    mark = tmp_path / "begun"
    repository.commit({**service("slow"), "services/slow/router.py": SLOW.format(mark=mark), **service("other")})
    words = ("check", "--data", str(data))
    check = subprocess.Popen([*COMMAND, *words], cwd=repository.path, env=environ(), stderr=subprocess.PIPE)
    try:
        until_sync(mark.exists, within=60, what="a service that is starting")
        family = {process.pid for process in descendants(check.pid)}
        assert len(family) >= 2, "a zygote and a worker"
        check.send_signal(number)
        _, said = check.communicate(timeout=60)
    finally:
        check.kill()
        check.communicate()
    assert check.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 1)
    until_sync(lambda: not family & {one.pid for one in all_processes()}, what="the end of all its processes")
    if number is not signal.SIGKILL:
        assert said == b"stopped\n"
        assert not (data / "check" / "run").exists()
