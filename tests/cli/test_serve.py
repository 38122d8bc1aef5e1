"""`reconciler serve` as a whole, over a repository that holds no service yet."""

import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from reconciler.data_folder import Address, read_address
from tests.cli.running import environment, executed
from tests.cli.test_local import git
from tests.waiting import until_sync


def test_an_empty_repository_is_served_and_ends_in_order(tmp_path: Path) -> None:
    repository, data = tmp_path / "repository", tmp_path / "data"
    repository.mkdir()
    git(repository, "init", "--initial-branch", "main")
    (repository / "services.yaml").write_text("version: 1\n")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "Nothing yet")
    flags = ("--data", str(data), "--port", "0", "--control-port", "0")
    with (tmp_path / "said").open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "reconciler.cli", "serve", *flags],
            cwd=repository,
            env=environment(),
            stderr=said,
            start_new_session=True,
        )
    try:
        until_sync(lambda: read_address(data), what="the address")
        address = read_address(data)
        assert address is not None
        until_sync(lambda: is_ready(address), within=30, what="the first sync finished")
        status = executed("status", "--data", str(data))
        assert (status.returncode, status.stderr) == (0, ""), status
        assert "0 services" in status.stdout
        second = executed("serve", *flags, cwd=repository)
        assert (second.returncode, len(second.stderr.splitlines())) == (2, 1)
        assert f"pid {server.pid}" in second.stderr
        children = children_of(server.pid)
        assert len(children) >= 2
        began = time.monotonic()
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0, (tmp_path / "said").read_text()
        assert time.monotonic() - began < 5
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        assert read_address(data) is None
        assert "Traceback" not in (tmp_path / "said").read_text()
    finally:
        server.kill()
        server.wait()


def is_ready(address: Address) -> bool:
    try:
        with urllib.request.urlopen(f"{address.control}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def children_of(parent: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
