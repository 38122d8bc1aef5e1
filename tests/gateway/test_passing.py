"""A connection and its unread bytes on their way to another process, and whatever a hostile one sends instead."""

import array
import os
import random
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.inside.passing import (
    INLINE_LIMIT,
    UNREAD_LIMIT,
    channel_pair,
    oldest_wait,
    receive_connection,
    send_connection,
)

Channel = tuple[socket.socket, socket.socket]
INLINE = struct.pack("=Bd", 1, 0.0)
IN_FILE = struct.pack("=Bd", 2, 0.0)


@pytest.fixture
def channel() -> Iterator[Channel]:
    """Its two ends; at the end of the test no descriptor more is open than before."""
    before = _descriptors()
    here, there = channel_pair()
    yield here, there
    here.close()
    there.close()
    assert _descriptors() == before


@pytest.mark.parametrize("length", [0, 1, INLINE_LIMIT, INLINE_LIMIT + 1, 100_000, 1_000_000])
def test_every_byte_arrives(channel: Channel, length: int) -> None:
    here, there = channel
    unread = random.Random(length).randbytes(length)
    fd, peer = _connection()
    with peer:
        send_connection(here, fd, unread)
        os.close(fd)
        received = receive_connection(there)
        assert received is not None
        assert received[1] == unread
        assert not os.get_inheritable(received[0])
        with socket.socket(fileno=received[0]) as connection:
            connection.sendall(b"hello")
            assert peer.recv(5) == b"hello"


def test_connections_arrive_in_order_both_ways(channel: Channel) -> None:
    for sender, receiver in (channel, channel[::-1]):
        for number in range(50):
            send_connection(sender, sender.fileno(), b"%d" % number)
        assert [_take(receiver) for _ in range(50)] == [b"%d" % number for number in range(50)]
        with pytest.raises(BlockingIOError):
            receive_connection(receiver)


def test_a_full_channel_says_so_and_loses_nothing(channel: Channel) -> None:
    here, there = channel
    sent = _fill(here)
    assert sent > 100
    assert _take(there) == b"0"
    send_connection(here, here.fileno(), b"again")
    assert [_take(there) for _ in range(sent)][-1] == b"again"


def test_the_end_of_the_other_side_is_no_connection(channel: Channel) -> None:
    here, there = channel
    send_connection(here, here.fileno(), b"last")
    send_connection(there, there.fileno(), b"never read")
    here.close()
    assert _take(there) == b"last", "what was sent before the end still arrives"
    assert receive_connection(there) is None
    with pytest.raises(OSError):
        send_connection(there, there.fileno(), b"")


def test_more_than_a_connection_can_carry_is_refused_by_the_sender(channel: Channel) -> None:
    with pytest.raises(ValueError):
        send_connection(channel[0], channel[0].fileno(), bytes(UNREAD_LIMIT + 1))


def test_the_sender_can_see_how_long_the_first_has_waited(channel: Channel) -> None:
    here, there = channel
    assert oldest_wait(there, time.monotonic()) is None
    before = time.monotonic()
    send_connection(here, here.fileno(), b"first")
    assert oldest_wait(there, before + 5) == pytest.approx(5, abs=1)
    assert _take(there) == b"first", "looking takes nothing"


def _memory_file(content: bytes) -> int:
    file = os.memfd_create("test")
    os.write(file, content)
    return file


def _disk_file(content: bytes) -> int:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return os.dup(file.fileno())


def _pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


HOSTILE = {
    "one byte": (b"x", 1),
    "no descriptor": (INLINE + b"GET", 0),
    "no descriptor and no header": (b"\x01", 0),
    "two descriptors": (INLINE, 2),
    "three descriptors": (INLINE, 3),
    "253 descriptors": (INLINE, 253),
    "an unknown kind": (b"\x07" + INLINE[1:], 1),
    "a packet that is too large": (INLINE + bytes(INLINE_LIMIT + 1), 1),
    "a file that is missing": (IN_FILE + struct.pack("=Q", 3), 1),
    "a file without its length": (IN_FILE, 2),
    "zero bytes with a descriptor": (b"", 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_packet_is_closed_and_called_a_value_error(name: str, channel: Channel) -> None:
    here, there = channel
    packet, count = HOSTILE[name]
    fds = [_pipe() for _ in range(count)]
    _send(here, packet, fds)
    before = _descriptors()
    with pytest.raises(ValueError):
        receive_connection(there)
    assert _descriptors() == before
    send_connection(here, here.fileno(), b"good")
    assert _take(there) == b"good", "the next one is not affected"


@pytest.mark.parametrize(
    ("file", "length"),
    [
        (_pipe, 5),
        (lambda: _disk_file(b"hello"), 5),
        (lambda: _memory_file(b"hello"), 5),
        (lambda: _memory_file(b"hello"), 2**63),
    ],
    ids=["a pipe", "a file on disk", "memory that its sender can still change", "an absurd length"],
)
def test_unread_bytes_in_a_file_that_could_hurt_are_refused(
    file: Callable[[], int], length: int, channel: Channel
) -> None:
    here, there = channel
    _send(here, IN_FILE + struct.pack("=Q", length), [_pipe(), file()])
    with pytest.raises(ValueError):
        receive_connection(there)


def test_the_receiver_never_blocks_whatever_the_sender_does_to_the_flags(channel: Channel) -> None:
    here, there = channel
    there.setblocking(True)
    with pytest.raises(BlockingIOError):
        receive_connection(there)
    here.setblocking(True)
    _fill(here)


def _send(channel: socket.socket, packet: bytes, fds: list[int]) -> None:
    channel.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
    for fd in fds:
        os.close(fd)


def _take(channel: socket.socket) -> bytes:
    received = receive_connection(channel)
    assert received is not None
    os.close(received[0])
    return received[1]


def _fill(channel: socket.socket) -> int:
    sent = 0
    try:
        while True:
            send_connection(channel, channel.fileno(), b"%d" % sent)
            sent += 1
    except BlockingIOError:
        return sent


def _connection() -> tuple[int, socket.socket]:
    one, other = socket.socketpair()
    return one.detach(), other


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
