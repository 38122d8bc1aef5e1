"""The strict check of a request's head, the same on both sides of a hand-over.

The gateway asks it before it routes and the worker before each further request on a connection, so the two can never
disagree about where a request begins and where it ends. Whatever is open to two readings is refused rather than
normalised: each of those readings is somebody's request smuggling.

There are two readers. `_read_ordinary` is one regular expression for what browsers and programs send; whatever it
does not match goes to `_read_carefully`, which is the specification, line by line, and can say what is wrong. A test
proves that they agree.

It refuses to read bodies, to decode anything, and to import more than the standard library: it runs inside services.
"""

import re
from typing import Final, NoReturn

HEAD_LIMIT: Final = 16 * 1024
TARGET_LIMIT: Final = 8 * 1024
FIELD_LIMIT: Final = 100
HOST_LIMIT: Final = 255
METHOD_LIMIT: Final = 32
BODY_LIMIT: Final = 2**63 - 1
EMPTY_LINE: Final = b"\r\n"
"""Some clients end a body with a line too many (RFC 9112, 2.2): it is no beginning of the next request."""
NOT_TAKEN: Final = "x-reconciler-not-taken"
"""So a worker that has to go answers on its private socket: the service has seen nothing of the request."""

Bytes = bytes | bytearray


class Refused(Exception):
    """The request is answered with `status` and its connection is closed: nobody can say where the next one begins."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Head:
    """What decides where a request goes and how its body is framed."""

    __slots__ = (
        "chunked",
        "content_length",
        "expect",
        "keep_alive",
        "length",
        "method",
        "path",
        "target",
        "upgrade",
        "version10",
    )

    def __init__(
        self,
        length: int,
        method: bytes,
        target: bytes,
        path: bytes,
        content_length: int = 0,
        chunked: bool = False,
        keep_alive: bool = True,
        upgrade: bool = False,
        expect: bool = False,
        version10: bool = False,
    ) -> None:
        self.length = length
        self.method = method
        self.target = target
        self.path = path
        self.content_length = content_length
        self.chunked = chunked
        self.keep_alive = keep_alive
        self.upgrade = upgrade
        self.expect = expect
        self.version10 = version10

    @property
    def bodyless(self) -> bool:
        return not self.chunked and not self.content_length

    def __repr__(self) -> str:
        return f"Head({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


def read_head(data: Bytes) -> Head | None:
    """The head at the start of `data`; None while it is incomplete and nothing is wrong with it yet."""
    return _read_ordinary(data) or _read_carefully(data)


_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE: Final = rb"[\t -~\x80-\xff]"
_HOST: Final = rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_LENGTH: Final = rb"0|[1-9][0-9]{0,18}"

_ORDINARY: Final = re.compile(
    rb"(GET|POST|PUT|DELETE|PATCH|HEAD|OPTIONS) "
    rb"((/[!\"$->@-~]*+)(?:\?[!\"$-~]*+)?+) HTTP/1\.([01])"
    rb"(\r\n(?:" + _TOKEN + rb"++:" + _VALUE + rb"*+\r\n){0,100}+)\r\n"
).match
_DECIDING: Final = re.compile(
    rb"\n((?i:host|content-length|transfer-encoding|connection|upgrade|expect)):[\t ]*+([^\r]*+)"
).findall
_IS_HOST: Final = re.compile(_HOST).fullmatch
_IS_LENGTH: Final = re.compile(_LENGTH).fullmatch


def _read_ordinary(data: Bytes) -> Head | None:
    """Everything right at first sight, or None: this reader never refuses."""
    match = _ORDINARY(data)
    if match is None:
        return None
    length = match.end()
    method, target, path, minor, fields = match.groups()
    if length > HEAD_LIMIT or len(target) > TARGET_LIMIT:
        return None
    deciding = _DECIDING(fields)
    if len(deciding) == 1 and minor == b"1":
        name, value = deciding[0]
        if len(name) == 4 and len(value) <= HOST_LIMIT and _IS_HOST(value.rstrip(b"\t ")):
            return Head(length, method, target, path)
        return None
    try:
        return _decide(length, method, target, path, minor == b"0", deciding)
    except Refused:
        return None


def _decide(
    length: int, method: bytes, target: bytes, path: bytes, version10: bool, deciding: list[tuple[bytes, bytes]]
) -> Head:
    """Weigh the few fields that decide about routing and framing; each of the first three may stand once."""
    head = Head(length, method, target, path, keep_alive=not version10, version10=version10)
    host: bytes | None = None
    declared: bytes | None = None
    coding: bytes | None = None
    options: list[bytes] = []
    protocols = b""
    for name, value in deciding:
        name = name.lower()
        value = value.rstrip(b"\t ")
        if name == b"host":
            _only_once(host, "Host")
            host = value
        elif name == b"content-length":
            _only_once(declared, "Content-Length")
            declared = value
        elif name == b"transfer-encoding":
            _only_once(coding, "Transfer-Encoding")
            coding = value
        elif name == b"connection":
            options += [option.strip(b"\t ") for option in value.lower().split(b",")]
        elif name == b"upgrade":
            protocols += value
        elif value.lower() != b"100-continue":
            raise Refused(417, "expectation_failed", "The only expectation that can be met is 100-continue.")
        else:
            head.expect = not version10
    _check_host(host, version10)
    if target[:1] != b"/" and target != b"*":
        _check_authority(target, host)
    _frame_body(head, declared, coding)
    if options:
        head.keep_alive = b"close" not in options and (not version10 or b"keep-alive" in options)
        head.upgrade = bool(protocols) and b"upgrade" in options
    return head


def _only_once(seen: bytes | None, name: str) -> None:
    if seen is not None:
        bad(f"{name} is given more than once.")


def _check_host(host: bytes | None, version10: bool) -> None:
    if host is None:
        if not version10:
            bad("Host is missing.")
    elif len(host) > HOST_LIMIT or not _IS_HOST(host):
        bad("Host is not a host name with an optional port.")


def _frame_body(head: Head, declared: bytes | None, coding: bytes | None) -> None:
    if coding is not None:
        if declared is not None:
            bad("Content-Length and Transfer-Encoding exclude each other.")
        if head.version10:
            bad("HTTP/1.0 knows no Transfer-Encoding.")
        _check_coding(coding.lower())
        head.chunked = True
    elif declared is not None:
        if not _IS_LENGTH(declared) or int(declared) > BODY_LIMIT:
            bad("Content-Length is not a plain number.")
        head.content_length = int(declared)


_IS_ANOTHER_CODING: Final = re.compile(rb"(?:" + _TOKEN + rb"+[\t ]*,[\t ]*)+chunked").fullmatch


def _check_coding(coding: bytes) -> None:
    if coding == b"chunked":
        return
    if _IS_ANOTHER_CODING(coding) and coding.count(b"chunked") == 1:
        raise Refused(501, "not_implemented", "The only Transfer-Encoding understood is chunked.")
    bad("Transfer-Encoding is not chunked.")


# --- the careful reader ---------------------------------------------------------------------------------------------

_METHODS: Final = frozenset(
    b"GET HEAD POST PUT DELETE PATCH OPTIONS ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR "
    b"MKCOL MOVE NOTIFY PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH SUBSCRIBE UNBIND UNLINK UNLOCK "
    b"UNSUBSCRIBE".split()
)
"""What httptools can read, without CONNECT, TRACE and the methods of other protocols."""

_IS_METHOD: Final = re.compile(rb"[A-Z][A-Z0-9-]*").fullmatch
_IS_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch
_IS_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"+):([\t -~\x80-\xff]*)").fullmatch
_IS_TARGET: Final = re.compile(rb"[!-~]+").fullmatch
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]*)([^?]*)").match
_LONE_LINE_END: Final = re.compile(rb"(?<!\r)\n|\r(?=[^\n])").search
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
_NAMES_THAT_DECIDE: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect")
)


def _read_carefully(data: Bytes) -> Head | None:
    """The specification: one line after the other, as early as anything can be said about it."""
    window = bytes(data[: HEAD_LIMIT + 1])
    if window == b"\r":
        return None
    start = len(EMPTY_LINE) if window.startswith(EMPTY_LINE) else 0
    blank = window.find(b"\r\n\r\n", start)
    complete = 0 <= blank <= HEAD_LIMIT - 4
    text = window[start : blank + 4] if complete else window[start:]
    _check_bytes(text)
    lines = text.split(b"\r\n")
    if complete:
        del lines[-2:]
        return _read_lines(lines, blank + 4)
    unfinished = lines.pop()
    if not lines:
        _check_unfinished_request_line(unfinished)
    else:
        _read_request_line(lines[0])
        _read_fields(lines[1:])
        if unfinished[:1] in (b" ", b"\t"):
            bad("A field is folded over several lines.")
    if len(window) > HEAD_LIMIT:
        raise Refused(431, "head_too_large", f"The head of the request is larger than {HEAD_LIMIT} bytes.")
    return None


def _check_bytes(text: bytes) -> None:
    if _LONE_LINE_END(text):
        bad("A line does not end with CR LF.")
    if _CONTROL(text):
        bad("The head holds a control character.")


def _check_unfinished_request_line(line: bytes) -> None:
    method, space, rest = line.partition(b" ")
    if len(method) > METHOD_LIMIT or (method and not _IS_METHOD(method)):
        bad("The method is not one of HTTP.")
    if space and len(rest.partition(b" ")[0]) > TARGET_LIMIT:
        _too_long()


def _read_lines(lines: list[bytes], length: int) -> Head:
    method, target, version10 = _read_request_line(lines[0])
    deciding = _read_fields(lines[1:])
    head = _decide(length, method, target, _path_of(target), version10, deciding)
    if method not in _METHODS:
        raise Refused(501, "not_implemented", "The method is not known here.")
    return head


def _read_request_line(line: bytes) -> tuple[bytes, bytes, bool]:
    method, _, rest = line.partition(b" ")
    target, space, version = rest.partition(b" ")
    if len(method) > METHOD_LIMIT or not _IS_METHOD(method):
        bad("The method is not one of HTTP.")
    if len(target) > TARGET_LIMIT:
        _too_long()
    if not space or not _IS_VERSION(version):
        bad("The request line is not method, target and version.")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise Refused(505, "version_not_supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if method in (b"CONNECT", b"TRACE"):
        raise Refused(405, "method_not_allowed", f"{method.decode()} is not allowed.")
    _check_target(method, target)
    return method, target, version == b"HTTP/1.0"


def _check_target(method: bytes, target: bytes) -> None:
    if not _IS_TARGET(target):
        bad("The target holds a character that has to be percent-encoded.")
    if b"#" in target:
        bad("The target holds a fragment.")
    if target == b"*":
        if method != b"OPTIONS":
            bad("Only OPTIONS may ask about the whole server.")
    elif target[:1] != b"/" and not _ABSOLUTE(target):
        bad("The target is not a path.")


def _check_authority(target: bytes, host: bytes | None) -> None:
    absolute = _ABSOLUTE(target)
    if absolute is None or host is None or absolute.group(1).lower() != host.lower():
        bad("The target names another authority than Host.")


def _path_of(target: bytes) -> bytes:
    absolute = None if target[:1] in (b"/", b"*") else _ABSOLUTE(target)
    if absolute is not None:
        return absolute.group(2) or b"/"
    return target.partition(b"?")[0]


def _read_fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    if len(lines) > FIELD_LIMIT:
        raise Refused(431, "head_too_large", f"The request has more than {FIELD_LIMIT} fields.")
    deciding = []
    for line in lines:
        field = _IS_FIELD(line)
        if field is None:
            _refuse_field(line)
        name, value = field.groups()
        if name.lower() in _NAMES_THAT_DECIDE:
            deciding.append((name, value.strip(b"\t ")))
    return deciding


def _refuse_field(line: bytes) -> NoReturn:
    name, colon, _ = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        bad("A field is folded over several lines.")
    if colon and name[-1:] in (b" ", b"\t"):
        bad("White space stands before the colon of a field.")
    bad("A field is not a name, a colon and a value.")


def bad(message: str) -> NoReturn:
    raise Refused(400, "bad_request", message)


def _too_long() -> NoReturn:
    raise Refused(414, "uri_too_long", f"The target is longer than {TARGET_LIMIT} bytes.")
