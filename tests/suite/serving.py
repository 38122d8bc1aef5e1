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
    server = QuietServer(
        uvicorn.Config(app, uds=str(socket), log_level="critical", ws="none", lifespan="off", access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until_sync(lambda: server.started, within=10, what="uvicorn to listen")
    try:
        yield str(socket)
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(timeout=10)
