"""Heads of requests with what must become of them, row by row of the list of hostile requests."""

from typing import Any

from reconciler.inside.head import FIELD_LIMIT, HEAD_LIMIT, TARGET_LIMIT

HOST = b"Host: localhost\r\n"


def _get(target: bytes = b"/api/tasks", fields: bytes = HOST, *, version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET " + target + b" " + version + b"\r\n" + fields + b"\r\n"


def _post(fields: bytes, body: bytes = b"", *, version: bytes = b"HTTP/1.1") -> bytes:
    return b"POST /api/tasks " + version + b"\r\n" + HOST + fields + b"\r\n" + body


ACCEPTED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "a plain GET": (_get(), {"method": b"GET", "target": b"/api/tasks", "path": b"/api/tasks", "keep_alive": True}),
    "a query is no part of the path": (_get(b"/a/b?x=1?2"), {"target": b"/a/b?x=1?2", "path": b"/a/b"}),
    "a body with a length": (_post(b"Content-Length: 5\r\n", b"hello"), {"content_length": 5}),
    "a length of nothing": (_post(b"Content-Length: 0\r\n"), {"content_length": 0}),
    "the greatest length": (_post(b"Content-Length: 9223372036854775807\r\n"), {"content_length": 2**63 - 1}),
    "a chunked body": (_post(b"Transfer-Encoding: chunked\r\n"), {"chunked": True}),
    "chunked in capitals": (_post(b"TRANSFER-ENCODING: Chunked \r\n"), {"chunked": True}),
    "a client that expects 100": (_post(b"Expect: 100-Continue\r\nContent-Length: 1\r\n"), {"expect": True}),
    "connection: close": (_get(fields=HOST + b"Connection: close\r\n"), {"keep_alive": False}),
    "close among other options": (_get(fields=HOST + b"Connection: te,\tClose\r\n"), {"keep_alive": False}),
    "an upgrade to WebSocket": (
        _get(fields=HOST + b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"),
        {"upgrade": True, "keep_alive": True},
    ),
    "an upgrade that connection does not name": (_get(fields=HOST + b"Upgrade: websocket\r\n"), {"upgrade": False}),
    "HTTP/1.0 without Host": (_get(fields=b"", version=b"HTTP/1.0"), {"version10": True, "keep_alive": False}),
    "HTTP/1.0 that keeps alive": (
        _get(fields=b"Connection: Keep-Alive\r\n", version=b"HTTP/1.0"),
        {"version10": True, "keep_alive": True},
    ),
    "HTTP/1.0 cannot be told to continue": (
        _get(fields=b"Expect: 100-continue\r\n", version=b"HTTP/1.0"),
        {"expect": False},
    ),
    "a host with a port": (_get(fields=b"Host: Example.org:8000 \r\n"), {}),
    "an IPv6 host": (_get(fields=b"Host: [::1]:80\r\n"), {}),
    "an absolute target of the same authority": (
        _get(b"http://LOCALHOST/api/tasks?q"),
        {"path": b"/api/tasks", "target": b"http://LOCALHOST/api/tasks?q"},
    ),
    "an absolute target without a path": (_get(b"http://localhost?q"), {"path": b"/"}),
    "OPTIONS about the server": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", {"target": b"*", "path": b"*"}),
    "a method of WebDAV": (b"PROPFIND /a HTTP/1.1\r\n" + HOST + b"\r\n", {"method": b"PROPFIND"}),
    "an empty line before the request": (b"\r\n" + _get(), {"length": len(_get()) + 2}),
    "a value in latin-1": (_get(fields=HOST + b"X: caf\xe9\r\n"), {}),
    "an empty value": (_get(fields=HOST + b"X:\r\n"), {}),
    "as many fields as may be": (_get(fields=HOST + b"a:b\r\n" * (FIELD_LIMIT - 1)), {}),
}

BAD = 400
REFUSED: dict[str, tuple[bytes, int]] = {
    # H-01
    "length, then chunked": (_post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), BAD),
    "chunked, then length": (_post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), BAD),
    # H-02
    "two equal lengths": (_post(b"Content-Length: 5\r\nContent-Length: 5\r\n"), BAD),
    "two different lengths": (_post(b"Content-Length: 5\r\ncontent-length: 6\r\n"), BAD),
    "a list of lengths": (_post(b"Content-Length: 2, 2\r\n"), BAD),
    # H-03
    "a length with a sign": (_post(b"Content-Length: +2\r\n"), BAD),
    "a negative length": (_post(b"Content-Length: -1\r\n"), BAD),
    "a hexadecimal length": (_post(b"Content-Length: 0x2\r\n"), BAD),
    "a length with an underscore": (_post(b"Content-Length: 1_0\r\n"), BAD),
    "a length of two words": (_post(b"Content-Length: 1 0\r\n"), BAD),
    "a length of nothing at all": (_post(b"Content-Length:\r\n"), BAD),
    "a length with leading zeros": (_post(b"Content-Length: 007\r\n"), BAD),
    "a length beyond 2^63": (_post(b"Content-Length: 9223372036854775808\r\n"), BAD),
    "a length beyond 2^64": (_post(b"Content-Length: 18446744073709551617\r\n"), BAD),
    # H-04
    "a coding that only looks chunked": (_post(b"Transfer-Encoding: xchunked\r\n"), BAD),
    "chunked, but not last": (_post(b"Transfer-Encoding: chunked, identity\r\n"), BAD),
    "the identity coding": (_post(b"Transfer-Encoding: identity\r\n"), BAD),
    "chunked after a vertical tab": (_post(b"Transfer-Encoding: \x0bchunked\r\n"), BAD),
    "chunked after a no-break space": (_post(b"Transfer-Encoding: \xa0chunked\r\n"), BAD),
    "no coding": (_post(b"Transfer-Encoding:\r\n"), BAD),
    "a comma before chunked": (_post(b"Transfer-Encoding: ,chunked\r\n"), BAD),
    "chunked twice": (_post(b"Transfer-Encoding: chunked, chunked\r\n"), BAD),
    "chunked in two fields": (_post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), BAD),
    "another coding before chunked": (_post(b"Transfer-Encoding: gzip, chunked\r\n"), 501),
    # H-06
    "chunked in HTTP/1.0": (_post(b"Transfer-Encoding: chunked\r\n", version=b"HTTP/1.0"), BAD),
    # H-11
    "a bare LF after a field": (_get(fields=b"Host: a\n"), BAD),
    "bare LF everywhere": (_get().replace(b"\r\n", b"\n"), BAD),
    "a bare CR in a value": (_get(fields=HOST + b"X: a\rb\r\n"), BAD),
    "a NUL in a value": (_get(fields=HOST + b"X: a\x00b\r\n"), BAD),
    "a control character in a value": (_get(fields=HOST + b"X: a\x1bb\r\n"), BAD),
    "DEL in a value": (_get(fields=HOST + b"X: a\x7fb\r\n"), BAD),
    "a line of white space": (_get(fields=HOST + b"  \r\n"), BAD),
    "a folded field": (_get(fields=HOST + b"X: a\r\n b\r\n"), BAD),
    "white space before the first field": (_get(fields=b" " + HOST), BAD),
    "a space before the colon": (_get(fields=HOST + b"X : a\r\n"), BAD),
    "a tab before the colon": (_post(b"Transfer-Encoding\t: chunked\r\n"), BAD),
    "no name": (_get(fields=HOST + b": a\r\n"), BAD),
    "no colon": (_get(fields=HOST + b"X\r\n"), BAD),
    "a name that is no token": (_get(fields=HOST + b"X(y): a\r\n"), BAD),
    "a name beyond ASCII": (_get(fields=HOST + b"X\xe9: a\r\n"), BAD),
    # H-13
    "no Host": (_get(fields=b""), BAD),
    "two equal Hosts": (_get(fields=HOST + HOST), BAD),
    "two different Hosts": (_get(fields=HOST + b"host: evil\r\n"), BAD),
    "a list of hosts": (_get(fields=b"Host: a, b\r\n"), BAD),
    "a host with a path": (_get(fields=b"Host: a/admin?\r\n"), BAD),
    "a host with a user": (_get(fields=b"Host: user@a\r\n"), BAD),
    "an empty Host": (_get(fields=b"Host:\r\n"), BAD),
    "a host with a space": (_get(fields=b"Host: a b\r\n"), BAD),
    "a port that is no number": (_get(fields=b"Host: a:http\r\n"), BAD),
    "a Host of 10 kB": (_get(fields=b"Host: " + b"a" * 10_000 + b"\r\n"), BAD),
    "a Host of 256 bytes": (_get(fields=b"Host: " + b"a" * 256 + b"\r\n"), BAD),
    "a wrong Host in HTTP/1.0": (_get(fields=b"Host: a/b\r\n", version=b"HTTP/1.0"), BAD),
    # H-14
    "an absolute target of another authority": (_get(b"http://evil/api/tasks"), BAD),
    "an absolute target with a user": (_get(b"http://me@localhost/"), BAD),
    "an absolute target of another scheme": (_get(b"ftp://localhost/"), BAD),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
    "TRACE": (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "GET about the server": (_get(b"*"), BAD),
    "a fragment": (_get(b"/a#b"), BAD),
    "a fragment in the query": (_get(b"/a?b#c"), BAD),
    "a target that is no path": (_get(b"api/tasks"), BAD),
    "an empty target": (_get(b""), BAD),
    "two spaces before the target": (_get(b" /a"), BAD),
    "a space in the target": (_get(b"/a b"), BAD),
    "a byte beyond ASCII in the target": (_get(b"/caf\xe9"), BAD),
    "HTTP/0.9": (b"GET /\r\n", BAD),
    "HTTP/1.2": (_get(version=b"HTTP/1.2"), 505),
    "HTTP/0.9 by name": (_get(version=b"HTTP/0.9"), 505),
    "HTTP/2.0": (_get(version=b"HTTP/2.0"), 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a version in lower case": (_get(version=b"http/1.1"), BAD),
    "a version with more digits": (_get(version=b"HTTP/1.10"), BAD),
    "another protocol": (_get(version=b"RTSP/1.0"), BAD),
    "a method in lower case": (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    "a method that is no token": (b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    "a method nobody knows": (b"FROB / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "a method of 10 kB": (b"A" * 10_000, BAD),
    "two empty lines before the request": (b"\r\n\r\n" + _get(), BAD),
    # H-17
    "a field of 70 kB": (_get(fields=HOST + b"X: " + b"a" * 70_000 + b"\r\n"), 431),
    "a head that never ends": (_get(fields=HOST + b"X: " + b"a" * HEAD_LIMIT)[:-4], 431),
    "one field too many": (_get(fields=HOST + b"a:b\r\n" * FIELD_LIMIT), 431),
    "5,000 fields": (_get(fields=HOST + b"a:b\r\n" * 5_000), 431),
    "a target of 70 kB": (_get(b"/" + b"a" * 70_000), 414),
    "a target one byte too long": (_get(b"/" + b"a" * TARGET_LIMIT), 414),
    # H-19, H-20
    "a TLS ClientHello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
    "binary": (bytes(range(256)), BAD),
    "an expectation nobody can meet": (_get(fields=HOST + b"Expect: 200-ok\r\n"), 417),
    "two expectations": (_get(fields=HOST + b"Expect: 100-continue, x\r\n"), 417),
}
