"""Bytes of which nobody promised that they are text, as text."""

import codecs


def decoded(data: bytes, *, goes_on: bool) -> str:
    """Half a character at the end of what goes on is no part of it."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(data, final=not goes_on)
