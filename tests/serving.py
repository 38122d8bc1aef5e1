"""An application that answers from a thread of the test's own process."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.waiting import until_sync


@contextmanager
def in_thread(
    app: Any, sockets: Sequence[socket.socket] | None = None, *, at_once: bool = False, **options: Any
) -> Iterator[uvicorn.Server]:
    """Until the end of the block: then what is being answered may finish, unless it is to end at once."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", **options))
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    try:
        until_sync(lambda: server.started, what="the server")
        yield server
    finally:
        server.should_exit = True
        server.force_exit = at_once
        thread.join(30)


def port_of(server: uvicorn.Server) -> int:
    return int(server.servers[0].sockets[0].getsockname()[1])
