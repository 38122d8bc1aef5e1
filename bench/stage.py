"""What measures stand on: a running platform, and the same service in plain uvicorn."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.platform import Platform, free_port
from tests.end_to_end.samples import PLATFORM, service
from tests.waiting import until_sync

UVICORN = ("--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning")
PLAIN = """
from fastapi import FastAPI
from router import router

app = FastAPI()
app.include_router(router, prefix="/api/tasks")
"""


@contextmanager
def running(
    files: Mapping[str, str] | None = None, *, within: float = 300, variables: Mapping[str, str] | None = None
) -> Iterator[Platform]:
    """A platform in a temporary folder, live."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with Platform(folder, variables=variables or {}) as platform:
            platform.commit(files or {"services.yaml": PLATFORM, **service("tasks")})
            yield platform.start(ready_within=within)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def python_of(platform: Platform, name: str = "tasks") -> Path:
    """The interpreter of a service's environment, so that both sides run the very same libraries."""
    environment = str(platform.service(name)["environment"]["id"])
    return platform.data / "environments" / environment / "bin" / "python"


@contextmanager
def plain_uvicorn(python: Path, folder: Path, *flags: str) -> Iterator[int]:
    """The router of the service in uvicorn, with nothing of ours around it; gives its port."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "router.py").write_text(service("tasks")["services/tasks/router.py"])
    (folder / "plain.py").write_text(PLAIN)
    port = free_port()
    words = [str(python), "-m", "uvicorn", "plain:app", "--port", str(port), *UVICORN, *flags]
    # Two versions of one length in one second have the same bytecode, as Python sees it: --reload would show the old.
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(words, cwd=folder, env=environ, stderr=subprocess.DEVNULL) as server:
        try:
            until_sync(lambda: answers(port), within=30, what="uvicorn")
            yield port
        finally:
            server.terminate()
            server.wait(10)


def answers(port: int) -> bool:
    return version_at(port) is not None


def version_at(port: int, path: str = "/api/tasks/version") -> str | None:
    """The version that answers on a new connection; nothing when nobody does."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(request)
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
    except OSError:
        return None
    if b" 200 " not in answer[:16]:
        return None
    return answer.partition(b'"version":"')[2].partition(b'"')[0].decode() or None


def seconds_until(port: int, version: str, *, within: float = 30) -> float:
    begun = time.perf_counter()
    while version_at(port) != version:
        assert time.perf_counter() - begun < within, f"version {version} never came"
        time.sleep(0.001)
    return time.perf_counter() - begun
