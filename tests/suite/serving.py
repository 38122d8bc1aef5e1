"""A real FastAPI service behind a real uvicorn on a Unix socket, as a candidate is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tests.waiting import until_sync


class QuietServer(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """The test's own process keeps its signals."""


@contextmanager
def serve(app: Any, socket: Path) -> Iterator[str]:
    """On a private socket, as a candidate is asked by suites."""
    with _running(app, uds=str(socket)):
        yield str(socket)


@contextmanager
def serve_on_loopback(app: Any) -> Iterator[str]:
    """On a port, as a candidate is asked by pytest files."""
    with _running(app, host="127.0.0.1", port=0) as server:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _running(app: Any, **where: Any) -> Iterator[QuietServer]:
    server = QuietServer(uvicorn.Config(app, log_config=None, ws="none", lifespan="off", access_log=False, **where))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until_sync(lambda: server.started, what="uvicorn to listen")
    try:
        yield server
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(timeout=30)
