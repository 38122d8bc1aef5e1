"""The worker's control socket: greet whoever connects, tell everyone every change, take their orders.

Control and any number of gateways may be connected; none is special. A client that stops reading is dropped. They are
heard, and their channels received, when the service has used up its descriptors: some are kept for them.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from .descriptors import OUT_OF_RESOURCES, ROOM_SECONDS, Reserve
from .messages import Gone, Message, Messages

LAST_WORD_SECONDS = 0.5
KEPT_DESCRIPTORS = 4
"""For a gateway that takes another's place: its connection and its channel, twice."""

Order = Callable[[Message, Messages], None]


class Clients:
    def __init__(
        self,
        listener: socket.socket,
        *,
        greet: Callable[[], list[Message]],
        order: Order,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._greet = greet
        self._order = order
        self._loop = loop
        self._clients: set[Messages] = set()
        self.reserve = Reserve(KEPT_DESCRIPTORS)
        self.came = asyncio.Event()
        """Somebody has been greeted."""
        loop.add_reader(listener.fileno(), self._accept)

    def tell(self, message: Message) -> None:
        for client in tuple(self._clients):
            self._send(client, message)

    def reply(self, client: Messages, message: Message) -> None:
        self._send(client, message)

    def __contains__(self, client: Messages) -> bool:
        return client in self._clients

    def tell_last(self, message: Message | None) -> None:
        """The last words before the process ends; without a message, only what is still unsent."""
        for client in tuple(self._clients):
            if message is not None:
                client.send_last(message, LAST_WORD_SECONDS)

    def _accept(self) -> None:
        try:
            with self.reserve.lent():
                sock, _ = self._listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:
                self._accept_later()
            return
        client = Messages(sock)
        self._clients.add(client)
        self._loop.add_reader(sock.fileno(), self._read, client)
        for message in self._greet():
            self._send(client, message)
        self.came.set()

    def _accept_later(self) -> None:
        """Whoever waits there is seen all the while, so the loop would ask without end."""
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(ROOM_SECONDS, self._loop.add_reader, self._listener.fileno(), self._accept)

    def _read(self, client: Messages) -> None:
        try:
            with self.reserve.lent():
                messages = client.receive()
            for message in messages:
                self._order(message, client)
        except Gone:
            self._drop(client)

    def _send(self, client: Messages, message: Message) -> None:
        if client not in self._clients:
            return
        try:
            client.send(message)
        except Gone:
            self._drop(client)
            return
        if client.pending:
            self._loop.add_writer(client.fileno(), self._flush, client)

    def _flush(self, client: Messages) -> None:
        try:
            client.flush()
        except Gone:
            self._drop(client)
            return
        if not client.pending:
            self._loop.remove_writer(client.fileno())

    def _drop(self, client: Messages) -> None:
        if client not in self._clients:
            return
        self._clients.discard(client)
        with contextlib.suppress(ValueError):
            self._loop.remove_reader(client.fileno())
            self._loop.remove_writer(client.fileno())
        client.close()
        # Before the service takes them: the next one that connects needs them.
        self.reserve.refill()
