"""Listening sockets, and the words for when there can be none.

Opened once by the supervisor and inherited by gateway and control, so that connections wait in the backlog
while those are started again. Never SO_REUSEPORT: a second server on the same port must be refused.
"""

import errno
import ipaddress
import socket
import time

from reconciler.misconfigured import Misconfigured

BACKLOG = 4096


def listen(host: str, port: int, flag: str, patience: float = 0.0) -> socket.socket:
    """Listen, waiting up to `patience` seconds for a server that was just killed to let go of the port."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return _listen(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            raise Misconfigured(_explain(error, host, port, flag)) from error


def url(host: str, port: int) -> str:
    """Where somebody on this machine reaches it."""
    name = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{name}]:{port}" if _is_ipv6(name) else f"http://{name}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    return socket.create_server(address[:2], family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")


def _explain(error: OSError, host: str, port: int, flag: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; choose another with {flag}"
    if error.errno == errno.EACCES:
        return f"port {port} may not be used by this user; choose another with {flag}"
    return f"{host} is no address of this machine ({error.strerror}); choose another with --host"


def _is_ipv6(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).version == 6
    except ValueError:
        return False
