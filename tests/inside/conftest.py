"""Two fork servers for all tests: of this environment, and of one with a two years old FastAPI and no uvloop."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inside.stage import Gateway, Worker, Zygote
from tests.inside.tasks import CODE

OLD = ("fastapi==0.115.0", "starlette==0.38.6", "uvicorn==0.35.0", "httptools==0.6.4", "websockets==13.1")


@pytest.fixture(scope="session")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment as a service may pin it: the asyncio loop and older everything."""
    folder = tmp_path_factory.mktemp("environment") / "old"
    uv = Path(sys.executable).with_name("uv")
    commands: tuple[list[str | Path], ...] = (
        [uv, "venv", "-q", "--python", sys.executable, folder],
        [uv, "pip", "install", "-q", "--python", folder / "bin" / "python", *OLD],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            pytest.skip(f"no package index to build the old environment from: {done.stderr.strip()[-300:]}")
    return str(folder / "bin" / "python")


@pytest.fixture(scope="session", params=["newest", "old"])
def fork_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    python = sys.executable if request.param == "newest" else request.getfixturevalue("old_python")
    zygote = Zygote(tmp_path_factory.mktemp("zygote"), python)
    yield zygote
    zygote.close()


@pytest.fixture
def zygote(fork_server: Zygote) -> Iterator[Zygote]:
    yield fork_server
    fork_server.tidy()


@pytest.fixture
def worker(zygote: Zygote) -> Worker:
    worker = zygote.fork(CODE)
    worker.ready()
    return worker


@pytest.fixture
def gateway(worker: Worker) -> Gateway:
    return worker.attach()
