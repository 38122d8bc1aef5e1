"""Pass a client's connection, and the bytes already read from it, to another process.

One connection is one packet, so it arrives whole or not at all. A few unread bytes ride in the packet; many ride in an
anonymous file beside it, since a packet has a size limit and truncating would corrupt a request.

It refuses to trust the other side: whatever arrives that is not such a packet is closed and called a `ValueError`.
Nothing here blocks, whatever the peer did to the flags of the sockets.
"""

import array
import errno
import fcntl
import os
import socket
import stat
import struct
import tempfile
import time
from collections.abc import Callable
from typing import Final

INLINE_LIMIT: Final = 32 * 1024
CLOSE_ON_EXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""What a service starts must not have what is passed to us."""
UNREAD_LIMIT: Final = 2 * 1024 * 1024
"""A worker that keeps to the rules has read little more than one."""
SEND_BUFFER: Final = 1024 * 1024

_INLINE: Final = 1
_IN_FILE: Final = 2
_HEADER: Final = struct.Struct("=Bd")
_LENGTH: Final = struct.Struct("=Q")
_PACKET_LIMIT: Final = _HEADER.size + INLINE_LIMIT
_PACKET_IN_KERNEL: Final = 768
_LEAST_BUFFER: Final = 24 * 1024
_DESCRIPTOR: Final = struct.calcsize("i")
MOST_DESCRIPTORS: Final = socket.CMSG_SPACE(253 * _DESCRIPTOR)
"""Room for as many as Linux lets travel together. It closes what finds no room itself, and waits if that lingers."""
_NO_SIGNAL: Final = getattr(socket, "MSG_NOSIGNAL", 0)
CROWDED: Final = frozenset((errno.ENOBUFS, errno.ETOOMANYREFS))
"""Full for now, though the channel is writable: too much of this user is under way, in all channels together."""
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE if hasattr(os, "memfd_create") else 0


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends over which connections travel both ways, neither of them blocking."""
    kind = getattr(socket, "SOCK_SEQPACKET", None)
    try:
        ends = socket.socketpair(socket.AF_UNIX, kind or socket.SOCK_DGRAM)
    except OSError:  # macOS names SOCK_SEQPACKET and has none
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in ends:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return ends


def shorten_queue(channel: socket.socket, connections: int) -> None:
    """Let about so many wait in what this end sends; a few dozen always may, since one with much unread has to fit."""
    room = max(_LEAST_BUFFER, connections * _PACKET_IN_KERNEL // 2)  # Linux doubles it
    if room < SEND_BUFFER:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)


def send_connection(channel: socket.socket, fd: int, unread: bytes) -> None:
    """Send a copy of `fd`; the caller closes its own afterwards, and keeps it when this raises.

    `BlockingIOError` means the channel is full: try again when it is writable.
    """
    if len(unread) <= INLINE_LIMIT:
        _send(channel, _HEADER.pack(_INLINE, time.monotonic()), unread, fd)
        return
    if len(unread) > UNREAD_LIMIT:
        raise ValueError(f"{len(unread)} unread bytes are more than can travel with a connection")
    file = file_holding(unread)
    try:
        _send(channel, _HEADER.pack(_IN_FILE, time.monotonic()), _LENGTH.pack(len(unread)), fd, file)
    finally:
        os.close(file)


def _send(channel: socket.socket, header: bytes, rest: bytes, *fds: int) -> None:
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
    try:
        channel.sendmsg((header, rest), (rights,), _NO_SIGNAL | socket.MSG_DONTWAIT)
    except OSError as error:
        if error.errno in CROWDED:
            raise BlockingIOError(error.errno, error.strerror) from None
        raise


def receive_connection(channel: socket.socket, close: Callable[[int], None] = os.close) -> tuple[int, bytes] | None:
    """The next connection with its unread bytes; None when the other side has gone.

    `BlockingIOError` means that nothing is there; `ValueError` that what was there is closed and was no connection.
    Whoever does not trust the other side leaves closing to somebody who may wait.
    """
    packet, ancillary, flags = _receive(channel)
    fds = descriptors_in(ancillary)
    if not packet and not fds:
        return None
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ValueError("a packet was larger than any connection is")
        unread = _unread(packet, fds)
    except BaseException:
        for fd in fds:
            close(fd)
        raise
    for fd in fds[1:]:
        close(fd)
    return fds[0], unread


def _receive(channel: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]], int]:
    how = (_PACKET_LIMIT, MOST_DESCRIPTORS, CLOSE_ON_EXEC | socket.MSG_DONTWAIT)
    try:
        packet, ancillary, flags, _ = channel.recvmsg(*how)
    except ConnectionResetError:
        # The kernel says once that the other side died with packets unread, before it delivers what that side had sent.
        packet, ancillary, flags, _ = channel.recvmsg(*how)
    return packet, ancillary, flags


def oldest_wait(receiving_end: socket.socket, now: float) -> float | None:
    """For how many seconds the first packet has been waiting to be received; None when there is none.

    It looks without taking, so the sender can ask this of a copy of the receiver's end.
    """
    try:
        packet = receiving_end.recv(_HEADER.size, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    if len(packet) != _HEADER.size:
        return None
    return now - float(_HEADER.unpack(packet)[1])


def descriptors_in(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % _DESCRIPTOR])
    if not CLOSE_ON_EXEC:
        for fd in fds:
            os.set_inheritable(fd, False)
    return fds.tolist()


def _unread(packet: bytes, fds: list[int]) -> bytes:
    if len(packet) < _HEADER.size:
        raise ValueError("a packet was smaller than any connection is")
    kind = packet[0]
    rest = packet[_HEADER.size :]
    if kind == _INLINE and len(fds) == 1:
        return rest
    if kind == _IN_FILE and len(fds) == 2 and len(rest) == _LENGTH.size:
        return _read_file(fds[1], _LENGTH.unpack(rest)[0])
    raise ValueError(f"a packet of kind {kind} came with {len(fds)} descriptors")


def file_holding(content: bytes) -> int:
    """A file without a name, in memory where the system has that; its offset is at the end."""
    if not _SEALS:
        with tempfile.TemporaryFile() as temporary:
            temporary.write(content)
            temporary.flush()
            return os.dup(temporary.fileno())
    file = os.memfd_create("passed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        written = 0
        while written < len(content):
            written += os.write(file, memoryview(content)[written:])
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(file)
        raise
    return file


def _read_file(file: int, length: int) -> bytes:
    """Only a sealed memory file is read: reading any other could block, or change under our eyes."""
    if length > UNREAD_LIMIT or not _is_settled(file, length):
        raise ValueError("the unread bytes of a connection are not in a file that holds them")
    parts = []
    offset = 0
    while offset < length:
        part = os.pread(file, length - offset, offset)
        if not part:
            raise ValueError("the unread bytes of a connection ended early")
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _is_settled(file: int, length: int) -> bool:
    # The seals first: only files in memory have any, and another file system may not answer for long.
    if not _is_sealed(file):
        return False
    facts = os.fstat(file)
    return stat.S_ISREG(facts.st_mode) and facts.st_size == length


def _is_sealed(file: int) -> bool:
    if not _SEALS:
        return True
    try:
        return fcntl.fcntl(file, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:
        return False
