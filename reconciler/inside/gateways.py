"""The channels to the gateways: connections come in by them, and go back by them.

A gateway may die and another attach; what is to go back meanwhile waits here for a while. It is never sent twice and
its descriptor is closed only after the kernel has taken a copy.

A worker that is short of descriptors takes nothing in: what was sent waits in the channel, where the gateway sees it
and gives it to another after a while. Connections between two requests go back first, so that those with one find room.
"""

import asyncio
import heapq
import logging
import select
import socket
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .connection import Connection
from .descriptors import OUT_OF_RESOURCES, ROOM_SECONDS, Reserve, has_room_for_packet, room_for_connections
from .held import Held
from .passing import CROWDED, oldest_wait, receive_connection, send_connection

if TYPE_CHECKING:
    from .traffic import Traffic

AT_ONCE = 64
GATEWAY_SECONDS = 10.0
READ_AHEAD = 64 * 1024
ROOM_SOON = 0.001
SHARE_GIVEN_BACK = 8
QUIET_SECONDS = 60.0

logger = logging.getLogger("reconciler")


@dataclass(eq=False)
class _Channel:
    sock: socket.socket
    is_full: bool = False


@dataclass(slots=True, eq=False)
class _Departing:
    connection: Held
    deadline: float


class Gateways:
    def __init__(self, traffic: "Traffic", reserve: Reserve | None = None) -> None:
        """`reserve` is where a channel comes from, and where it goes to at its end."""
        self._traffic = traffic
        self._reserve = reserve or Reserve(0)
        self._loop = traffic.loop
        self._channels: list[_Channel] = []
        self._departing: deque[_Departing] = deque()
        self._expiry: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[object]] = set()
        self._room = room_for_connections()
        self._room_look: asyncio.TimerHandle | None = None
        """Running while there is no room."""
        self._quiet_until = 0.0

    def attach(self, fd: int) -> None:
        channel = _Channel(socket.socket(fileno=fd))
        channel.sock.setblocking(False)
        self._channels.append(channel)
        if self._room_look is None:
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

    async def take_in_last(self, within: float) -> None:
        """At the end of a drain. A gateway that lives takes back what it has sent; nobody does for a dead one."""
        for channel in tuple(self._channels):
            if _is_abandoned(channel.sock):
                while channel in self._channels and self._take_in(channel):
                    pass
        if self._opening:
            await asyncio.wait(self._opening, timeout=within)

    def close(self) -> None:
        for channel in tuple(self._channels):
            self._drop(channel)
        if self._room_look is not None:
            self._room_look.cancel()
            self._room_look = None

    def give_back(self, connection: Held) -> None:
        self._departing.append(_Departing(connection, self._loop.time() + GATEWAY_SECONDS))
        self._send_departing()

    def resume(self) -> None:
        """While retiring nothing expires; from now on it does again."""
        self._send_departing()

    def forget(self, connection: Held) -> None:
        for departing in tuple(self._departing):
            if departing.connection is connection:
                self._departing.remove(departing)

    def _take_in(self, channel: _Channel) -> bool:
        """Adopt what lies in the channel, a bounded number at once. False when it is empty or gone."""
        for _ in range(AT_ONCE):
            if not self._has_room(channel):
                self._wait_for_room()
                return False
            try:
                received = receive_connection(channel.sock)
            except BlockingIOError:
                return False
            except ValueError as error:
                # It is closed already.
                logger.warning("What a gateway sent was no connection: %s.", error)
                continue
            except OSError:
                received = None
            if received is None:
                self._drop(channel)
                return False
            self._adopt(*received)
        return True

    def _has_room(self, channel: _Channel) -> bool:
        held = len(self._traffic.state.connections) + len(self._opening)
        return held < self._room and has_room_for_packet(channel.sock.fileno())

    def _wait_for_room(self) -> None:
        if self._room_look is None:
            self._tell_of_shortage()
            for channel in self._channels:
                self._loop.remove_reader(channel.sock.fileno())
            self._make_room()

    def _tell_of_shortage(self) -> None:
        if self._loop.time() >= self._quiet_until:
            self._quiet_until = self._loop.time() + QUIET_SECONDS
            logger.warning("The service is short of descriptors: new connections wait (limits.files).")

    def _make_room(self) -> None:
        """Those that have been silent for longest go back; when they speak again, they come again."""
        idle = [connection for connection in self._traffic.connections if connection.may_go_back]
        for connection in heapq.nlargest(1 + len(idle) // SHARE_GIVEN_BACK, idle, key=lambda one: one.age):
            connection.retire()
        # Their descriptors are closed in the next turn of the loop.
        self._room_look = self._loop.call_later(ROOM_SOON if idle else ROOM_SECONDS, self._look_for_room)

    def _look_for_room(self) -> None:
        for channel in tuple(self._channels):
            # Nobody watches it now, and it holds a descriptor.
            if _is_abandoned(channel.sock) and _is_empty(channel.sock):
                self._drop(channel)
        if self._channels and not self._has_room(self._channels[0]):
            self._make_room()
            return
        self._room_look = None
        for channel in self._channels:
            self._loop.add_reader(channel.sock.fileno(), self._take_in, channel)

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

    def _send_later(self, channel: _Channel) -> None:
        """It is writable all the while, so the loop would ask without end."""
        channel.is_full = True
        self._loop.call_later(ROOM_SECONDS, self._go_on, channel)

    def _open_channel(self) -> _Channel | None:
        # The newest gateway is the one that lives longest.
        return next((channel for channel in reversed(self._channels) if not channel.is_full), None)

    def _send(self, channel: _Channel, departing: _Departing) -> None:
        connection = departing.connection
        try:
            send_connection(channel.sock, connection.fd, connection.take_unread())
        except BlockingIOError as full:
            self._departing.appendleft(departing)
            if full.errno in CROWDED:
                self._send_later(channel)
            else:
                channel.is_full = True
                self._loop.add_writer(channel.sock.fileno(), self._go_on, channel)
        except ValueError:
            # It has more unread bytes than can travel.
            connection.transport.abort()
        except OSError as error:
            self._departing.appendleft(departing)
            if error.errno in OUT_OF_RESOURCES:
                self._send_later(channel)
                return
            # A gateway that died may have sent us more: with it gone, the channel is the last to hold those clients.
            while self._take_in(channel):
                pass
            self._drop(channel)
        else:
            self._traffic.handed_back += 1
            connection.release()

    def _go_on(self, channel: _Channel) -> None:
        if channel in self._channels:
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
        self._reserve.refill()
        self._loop.call_soon(self._send_departing)

    def _watch_deadline(self) -> None:
        if self._departing and self._expiry is None and not self._traffic.retiring:
            self._expiry = self._loop.call_at(self._departing[0].deadline, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        while self._departing and self._departing[0].deadline <= self._loop.time():
            self._departing.popleft().connection.close_unanswered()
        self._watch_deadline()


def _is_abandoned(sock: socket.socket) -> bool:
    """The other side has gone, though something may still lie between."""
    poll = select.poll()
    poll.register(sock, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _is_empty(sock: socket.socket) -> bool:
    try:
        return oldest_wait(sock, 0.0) is None
    except ConnectionResetError:
        # Said once, before what lies in it.
        return False
