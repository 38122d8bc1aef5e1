"""A bug that one client meets harms this client: whoever shares an event with it is served."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from reconciler.gateway import answers
from reconciler.gateway.aside import Aside
from reconciler.gateway.connection import Connection
from reconciler.gateway.connections import Connections
from reconciler.gateway.counts import Counts
from reconciler.gateway.listener import Listener
from reconciler.gateway.loop import Loop
from reconciler.gateway.means import Means
from reconciler.gateway.patience import Patience
from reconciler.inside.head import Head
from tests.gateway.neighbours import Client, get


@contextlib.contextmanager
def _accepting_with_a_bug(counts: Counts) -> Iterator[int]:
    """The port of a listener behind which every `/bug` is one; anything else is not found."""
    loop = Loop()

    def place(connection: Connection, head: Head) -> bool:
        if head.path == b"/bug":
            raise LookupError
        return connections.answer(connection, head, answers.not_found(None))

    means = Means(loop, Patience(), counts, Aside(), has_room=lambda: True, queue=8, port=None)
    connections = Connections(means, place)
    end, ended = os.pipe()
    loop.watch(end, lambda _: loop.stop())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = Listener(listening, loop, connections.admit, lambda: True)
        listener.open()
        thread = threading.Thread(target=loop.run, daemon=True)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            os.write(ended, b".")
            thread.join(10)
            connections.close_idle()
            os.close(end)
            os.close(ended)


def test_a_bug_costs_its_client_the_connection_and_the_others_are_accepted(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    with _accepting_with_a_bug(counts) as port:
        for _ in range(3):
            its_request_is_unread = contextlib.suppress(ConnectionResetError)
            with Client(port, get("/bug")) as harmed, its_request_is_unread:
                assert harmed.is_closed()
            with Client(port, get("/other")) as client:
                assert client.reply().status == 404
    assert counts.dropped == 3
    assert [record.message for record in caplog.records] == ["The gateway has a bug and drops a connection"] * 3
