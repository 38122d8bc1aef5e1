"""The command, against a real control plane over a platform that stands still."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from reconciler.api import Access, build
from reconciler.cli import main
from reconciler.data_folder import Address, write_whole
from reconciler.listener import listen, url
from tests.api.asking import TOKEN
from tests.api.platform import Still
from tests.serving import in_thread

ROOT = Path(__file__).parent.parent.parent
OURS = ("RECONCILER_", "NO_COLOR", "COLUMNS", "LINES")


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def reconciler(*arguments: str, cwd: Path | None = None, **variables: str) -> Done:
    """The command without a process of its own: what a table of many cases can afford."""
    out, err = StringIO(), StringIO()
    with (
        chdir(cwd or Path.cwd()),
        patch.dict(os.environ, environment(**variables), clear=True),
        patch.object(sys, "argv", ["reconciler", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def executed(*arguments: str, cwd: Path | None = None, **variables: str) -> Done:
    """The command as everybody runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "reconciler.cli", *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**inherited, "PYTHONPATH": str(ROOT), **variables}


@contextmanager
def served(platform: Still, data: Path) -> Iterator[str]:
    """A data folder that names a server that runs."""
    app = build(platform, Access(TOKEN, recognisers=[platform.keys]))
    with listen("127.0.0.1", 0, "--control-port") as listener:
        where = url("127.0.0.1", listener.getsockname()[1])
        data.mkdir(exist_ok=True)
        address = Address(where, "http://127.0.0.1:1", os.getpid())
        write_whole(data / "server.json", address.to_json())
        write_whole(data / "admin-token", TOKEN + "\n")
        with in_thread(app, [listener], timeout_graceful_shutdown=1):
            yield where
