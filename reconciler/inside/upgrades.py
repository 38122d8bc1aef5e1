"""Which request becomes a WebSocket, and what the parser is told of one that would like to become something else.

HTTP lets a server ignore that wish. The parser cannot: it takes whatever follows the head for the other protocol, so
the request's body would be lost, and the next request with it. Java's client wishes for HTTP/2 where it sends a body.
"""

import re

from .head import Head

PROTOCOLS = re.compile(rb"\r\n(?i:upgrade):([^\r]*)")


def is_for_websocket(head: Head, data: bytes) -> bool:
    if head.method != b"GET" or not head.bodyless:
        return False
    protocols = PROTOCOLS.findall(data[: head.length])
    return len(protocols) == 1 and protocols[0].strip(b"\t ").lower() == b"websocket"


def without_wish(head: Head, data: bytes) -> bytes:
    """The same request, an ordinary one."""
    told = PROTOCOLS.sub(b"", data[: head.length])
    data = told + data[head.length :]
    head.length = len(told)
    return data
