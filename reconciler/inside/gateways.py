"""The channels to the gateways: connections come in by them, and go back by them.

A gateway may die and another attach; what is to go back meanwhile waits here for a while. It is never sent twice and
its descriptor is closed only after the kernel has taken a copy.
"""

import asyncio
import socket
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .connection import Connection
from .passing import receive_connection, send_connection

if TYPE_CHECKING:
    from .traffic import Traffic

AT_ONCE = 64
GATEWAY_SECONDS = 10.0
READ_AHEAD = 64 * 1024


@dataclass(eq=False)
class _Channel:
    sock: socket.socket
    is_full: bool = False


@dataclass(slots=True, eq=False)
class _Departing:
    connection: Connection
    deadline: float


class Gateways:
    def __init__(self, traffic: "Traffic") -> None:
        self._traffic = traffic
        self._loop = traffic.loop
        self._channels: list[_Channel] = []
        self._departing: deque[_Departing] = deque()
        self._expiry: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[object]] = set()

    def attach(self, fd: int) -> None:
        channel = _Channel(socket.socket(fileno=fd))
        channel.sock.setblocking(False)
        self._channels.append(channel)
        self._loop.add_reader(channel.sock.fileno(), self._take_in, channel)
        self._send_departing()

    @property
    def is_idle(self) -> bool:
        """Nothing is on its way in or out. What is on its way in is not among the connections yet."""
        return not self._opening and not self._departing

    def drain(self) -> None:
        """Take in everything that was sent before now."""
        for channel in tuple(self._channels):
            while channel in self._channels and self._take_in(channel):
                pass

    def close(self) -> None:
        for channel in tuple(self._channels):
            self._drop(channel)

    def give_back(self, connection: Connection) -> None:
        self._departing.append(_Departing(connection, self._loop.time() + GATEWAY_SECONDS))
        self._send_departing()

    def resume(self) -> None:
        """While retiring nothing expires; from now on it does again."""
        self._send_departing()

    def forget(self, connection: Connection) -> None:
        for departing in tuple(self._departing):
            if departing.connection is connection:
                self._departing.remove(departing)

    def _take_in(self, channel: _Channel) -> bool:
        """Adopt what lies in the channel, a bounded number at once. False when it is empty or gone."""
        for _ in range(AT_ONCE):
            try:
                received = receive_connection(channel.sock)
            except BlockingIOError:
                return False
            except ValueError:
                # Not a connection; it is closed already.
                continue
            except OSError:
                received = None
            if received is None:
                self._drop(channel)
                return False
            self._adopt(*received)
        return True

    def _adopt(self, fd: int, unread: bytes) -> None:
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        if not unread:
            try:
                # The request is usually there already: reading it now saves a turn of the loop.
                unread = sock.recv(READ_AHEAD)
            except BlockingIOError:
                pass
            except OSError:
                sock.close()
                return
            else:
                if not unread:
                    sock.close()
                    return
        connection = Connection(self._traffic, fd=fd, unread=unread)
        task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: connection, sock))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _send_departing(self) -> None:
        while self._departing:
            channel = self._open_channel()
            if channel is None:
                break
            self._send(channel, self._departing.popleft())
        self._watch_deadline()

    def _open_channel(self) -> _Channel | None:
        # The newest gateway is the one that lives longest.
        return next((channel for channel in reversed(self._channels) if not channel.is_full), None)

    def _send(self, channel: _Channel, departing: _Departing) -> None:
        connection = departing.connection
        try:
            send_connection(channel.sock, connection.fd, connection.take_unread())
        except BlockingIOError:
            self._departing.appendleft(departing)
            channel.is_full = True
            self._loop.add_writer(channel.sock.fileno(), self._go_on, channel)
        except ValueError:
            # It has more unread bytes than can travel.
            connection.transport.abort()
        except OSError:
            self._departing.appendleft(departing)
            # A gateway that died may have sent us more: with it gone, the channel is the last to hold those clients.
            while self._take_in(channel):
                pass
            self._drop(channel)
        else:
            self._traffic.handed_back += 1
            connection.release()

    def _go_on(self, channel: _Channel) -> None:
        channel.is_full = False
        self._loop.remove_writer(channel.sock.fileno())
        self._send_departing()

    def _drop(self, channel: _Channel) -> None:
        if channel not in self._channels:
            return
        self._channels.remove(channel)
        self._loop.remove_reader(channel.sock.fileno())
        if channel.is_full:
            self._loop.remove_writer(channel.sock.fileno())
        channel.sock.close()
        self._loop.call_soon(self._send_departing)

    def _watch_deadline(self) -> None:
        if self._departing and self._expiry is None and not self._traffic.retiring:
            self._expiry = self._loop.call_at(self._departing[0].deadline, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        while self._departing and self._departing[0].deadline <= self._loop.time():
            self._departing.popleft().connection.close_unanswered()
        self._watch_deadline()
