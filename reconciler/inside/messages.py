"""One JSON object per line over a stream socket, whole lines only, and descriptors beside them.

Both ends of both control sockets speak this. It never blocks and never waits: whoever owns the socket says when to
read and when to write.
"""

import json
import socket
from typing import Any

from .passing import CLOSE_ON_EXEC, MOST_DESCRIPTORS, descriptors_in

Message = dict[str, Any]

LINE_LIMIT = 64 * 1024 * 1024
"""The secrets of a service are in the order to fork its worker."""
BACKLOG_LIMIT = 4 * 1024 * 1024

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Gone(Exception):
    """The other side hung up, or says things that are not the protocol."""


class Messages:
    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fds: list[int] = []
        self._incoming = b""
        self._outgoing = b""

    def fileno(self) -> int:
        return self.sock.fileno()

    @property
    def pending(self) -> bool:
        """Something is written that the socket did not take yet."""
        return bool(self._outgoing)

    def receive(self) -> list[Message]:
        """What has arrived. Descriptors are appended to `fds` in the order of their messages."""
        try:
            data, ancillary, _, _ = self.sock.recvmsg(256 * 1024, MOST_DESCRIPTORS, CLOSE_ON_EXEC)
        except BlockingIOError:
            return []
        except OSError as error:
            raise Gone from error
        self.fds += descriptors_in(ancillary)
        if not data:
            raise Gone
        *lines, self._incoming = (self._incoming + data).split(b"\n")
        if len(self._incoming) > LINE_LIMIT:
            raise Gone
        return [_parse(line) for line in lines if line]

    def send(self, message: Message) -> None:
        self._outgoing += _encode(message).encode() + b"\n"
        if len(self._outgoing) > BACKLOG_LIMIT:
            raise Gone
        self.flush()

    def flush(self) -> None:
        while self._outgoing:
            try:
                sent = self.sock.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError as error:
                raise Gone from error
            self._outgoing = self._outgoing[sent:]

    def send_last(self, message: Message, within: float) -> bool:
        """Write to the end, waiting a little if need be: the process exits right after. True when it was written."""
        self.sock.settimeout(within)
        line = _encode(message).encode() + b"\n"
        try:
            self.sock.sendall(self._outgoing + line)
        except OSError:
            return False
        finally:
            self._outgoing = b""
        return True

    def close(self) -> None:
        for fd in self.fds:
            socket.close(fd)
        self.fds.clear()
        self.sock.close()


def _parse(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except ValueError as error:
        raise Gone from error
    if not isinstance(message, dict):
        raise Gone
    return message
