"""A real FastAPI service behind a real uvicorn on a Unix socket, as a candidate is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving import in_thread, port_of

PLAIN: dict[str, Any] = {"ws": "none", "access_log": False}


@contextmanager
def serve(app: Any, socket: Path) -> Iterator[str]:
    """On a private socket, as a candidate is asked by suites."""
    with in_thread(app, at_once=True, **PLAIN, uds=str(socket)):
        yield str(socket)


@contextmanager
def serve_on_loopback(app: Any) -> Iterator[str]:
    """On a port, as a candidate is asked by pytest files."""
    with in_thread(app, at_once=True, **PLAIN, host="127.0.0.1", port=0) as server:
        yield f"http://127.0.0.1:{port_of(server)}"
