"""Find the end of a chunked message body, strictly.

The parser of uvicorn reads the chunks; this only says which bytes belong to the message, so that the next request on
the connection is never given to a parser that believes it is still in this one. What is not exactly a chunked body is
refused. Trailers are checked, counted and dropped: uvicorn would append them to the request's headers.
"""

import re

SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n", re.DOTALL)
TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n", re.DOTALL)
SIZE_LINE_LIMIT = 256
TRAILER_LIMIT = 8 * 1024


class Malformed(Exception):
    """Not a chunked body."""


class ChunkedBody:
    """Feed it what arrives until `done`."""

    __slots__ = ("_gap", "_in_trailer", "_left", "_line", "_trailer", "done", "size")

    def __init__(self) -> None:
        self.done = False
        self.size = 0
        """Bytes of content announced so far."""
        self._line = b""
        self._left = 0
        self._gap = b""
        self._in_trailer = False
        self._trailer = 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Split into what the parser shall see of this message and what comes after the message."""
        at = 0
        if self._in_trailer:
            return self._take_trailer(data, at, b"")
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
            elif self._gap:
                if data[at : at + 1] != self._gap[:1]:
                    raise Malformed("a chunk is longer than its size says")
                self._gap = self._gap[1:]
                at += 1
            else:
                at = self._take_size(data, at)
                if self._in_trailer:
                    return self._take_trailer(data, at, data[:at])
        return data, b""

    def _take_size(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at, at + SIZE_LINE_LIMIT) + 1
        self._line += data[at:end] if end else data[at : at + SIZE_LINE_LIMIT]
        if len(self._line) > SIZE_LINE_LIMIT or (not end and len(self._line) == SIZE_LINE_LIMIT):
            raise Malformed("the line with a chunk's size is too long")
        if not end:
            return len(data)
        match = SIZE_LINE.fullmatch(self._line)
        if match is None:
            raise Malformed("a chunk's size is not a hexadecimal number")
        self._line = b""
        self._left = int(match[1], 16)
        self.size += self._left
        if self._left:
            self._gap = b"\r\n"
        else:
            self._in_trailer = True
        return end

    def _take_trailer(self, data: bytes, at: int, seen: bytes) -> tuple[bytes, bytes]:
        while at < len(data):
            end = data.find(b"\n", at) + 1
            piece = data[at:end] if end else data[at:]
            at += len(piece)
            self._line += piece
            self._trailer += len(piece)
            if self._trailer > TRAILER_LIMIT:
                raise Malformed("the trailer is too long")
            if not end:
                break
            if self._line == b"\r\n":
                self.done = True
                return seen + b"\r\n", data[at:]
            if TRAILER_LINE.fullmatch(self._line) is None:
                raise Malformed("the trailer holds a line that is not a field")
            self._line = b""
        return seen, b""
