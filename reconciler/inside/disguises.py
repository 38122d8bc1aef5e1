"""How a secret may look in text: as it is, line by line, and in the encodings that programs put text into.

Pure functions from a value to the bytes to look for. It refuses to guess at encodings that hide a value on purpose:
hexadecimal, compression and encryption are not among them.
"""

import json
import re
import string
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from itertools import chain, product
from typing import Final

SHORTEST: Final = 4
FEWEST_DIGITS: Final = 6
WORD: Final = "redacted"
"""What stands in a secret's place, so nothing in it can be one."""
OURS: Final = WORD.encode()
WORDS: Final = """
    admin administrator anonymous anon authenticated changeme client database debug default demo development disable
    disabled dummy empty enable enabled error example false guest hello http https info localhost main master mysql
    none null password postgres postgresql private prod production public redis root secret server service service_role
    staging supabase test testing token true undefined unknown user username value warning
"""
COMMON: Final = frozenset(WORDS.split())
"""Words that logs are full of. To take them out would destroy every log, and tell what they stood for."""

BREAK: Final = re.compile(r"[\r\n]+")
LARGEST_WRAPPED: Final = 16 * 1024
WRAPPED_AT: Final = (76, 64)
"""Where `base64` and `openssl` break their lines."""
URL_ALPHABET: Final = bytes.maketrans(b"+/", b"-_")
ALWAYS_LEFT_ALONE: Final = string.ascii_letters + string.digits + "_.-~"
PLAIN: Final = re.compile(r"[\w+/=.,:;@ -]*", re.ASCII)
"""Text that looks the same in a JSON string, a literal, a shell's word and a page."""
LEFT_ALONE: Final = (
    "",
    "/",
    "*",
    "!'()*",
    "!#$&'()*+,/:;=?@",
    *("".join(set(string.punctuation) - set(escaped)) for escaped in ('"#<>', '"#<>?`{}^')),
)
"""What Python's `quote` and `quote_plus`, the forms of browsers, JavaScript's `encodeURIComponent` and `encodeURI`, and
browsers and httpx in a query and in a path do not percent-encode, apart from letters, digits and `_.-~`."""


def why_not(value: str) -> str | None:
    """Why a value is left where it is found; None when it is taken out. Words to end a sentence with."""
    text = value.strip()
    if len(text) < SHORTEST:
        return f"is shorter than {SHORTEST} characters"
    if text.isdecimal() and len(text) < FEWEST_DIGITS:
        return f"is a number of fewer than {FEWEST_DIGITS} digits"
    if text.casefold() in COMMON or text in WORD:
        return "is a common word"
    if len(set(text)) == 1:
        return "is one character, repeated"
    return None


def disguises(value: str) -> set[bytes]:
    """Everything to look for; empty when the value is not one that is taken out."""
    if why_not(value):
        return set()
    # Who uses a secret often strips it first.
    wholes = {value, value.strip()}
    found = set(chain.from_iterable(map(_as_a_whole, wholes)))
    found.update(*(map(_encoded, _spelled(line)) for line in lines(value) - wholes))
    return {form for form in found if len(form) >= SHORTEST and form not in OURS}


def lines(value: str) -> set[str]:
    """Those of its lines that are looked for by themselves."""
    return {line for line in set(map(str.strip, BREAK.split(value))) if not why_not(line)}


def _as_a_whole(value: str) -> Iterator[bytes]:
    raw = _raw(value)
    # Bytes that are no text are seen as what a lenient decoder makes of them.
    for spelling in {value, raw.decode(errors="replace")}:
        yield from map(_encoded, _spelled(spelling))
    yield from map(_encoded, _as_literals(raw))
    yield from map(_encoded, _in_urls(raw))
    yield from _in_base64(raw)


def _spelled(text: str) -> Iterator[str]:
    """As it is, and inside of a JSON string, a Python literal, a shell's word or a page."""
    yield text
    if PLAIN.fullmatch(text):
        return
    for is_ascii in (True, False):
        inner = json.dumps(text, ensure_ascii=is_ascii)[1:-1]
        yield inner
        # A document is often a text in another one.
        yield json.dumps(inner, ensure_ascii=is_ascii)[1:-1]
        yield repr(inner)[1:-1]
    # What comes before it makes Python choose single quotes, and so escape those.
    for literal in (repr(f"'\"{text}")[4:-1], ascii(f"'\"{text}")[4:-1]):
        yield literal
        yield literal.replace("\\'", "'")
    for quote_mark in ("'\"'\"'", "'\\''"):
        yield text.replace("'", quote_mark)
    yield escape(text, quote=False)
    for single, double in product(("&#x27;", "&#39;"), ("&quot;", "&#34;")):
        yield escape(text).replace("&#x27;", single).replace("&quot;", double)


def _as_literals(raw: bytes) -> Iterator[str]:
    literal = repr(b"'\"" + raw)[5:-1]
    yield literal
    yield literal.replace("\\'", "'")


def _in_urls(raw: bytes) -> Iterator[str]:
    text = raw.decode("latin-1")
    special = set(text).difference(ALWAYS_LEFT_ALONE)
    for kept in {frozenset(special.intersection(safe)) for safe in LEFT_ALONE}:
        for digits in ("%%%02X", "%%%02x"):
            form = text.translate({ord(character): digits % ord(character) for character in special - kept})
            for spelling in {form, form.replace("%20", "+")}:
                yield spelling
                yield spelling.replace("~", digits % ord("~"))


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """The characters that the secret alone decides, wherever it begins in what was encoded."""
    for before, shared in ((0, 0), (1, 2), (2, 3)):
        known = b64encode(bytes(before) + raw)[shared : (before + len(raw)) * 8 // 6]
        yield known
        yield known.translate(URL_ALPHABET)
    if len(raw) <= LARGEST_WRAPPED:
        whole = b64encode(raw)
        yield from (whole[at : at + width] for width in WRAPPED_AT for at in range(0, len(whole), width))


def _raw(value: str) -> bytes:
    """The bytes of the environment variable; surrogates stand for those that are no text."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _encoded(value)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
