"""No secret leaves in text: whatever it is, however it is written, and wherever the text is cut into pieces."""

import base64
import html
import json
import random
import shlex
import string
import time
import urllib.parse
from collections.abc import Callable, Mapping
from itertools import pairwise, product

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as some

from reconciler.inside.disguises import why_not
from reconciler.inside.redaction import Redactor

CHARACTERS = some.characters(codec=None, exclude_categories=())
"""Half of a surrogate pair included."""
VALUES = some.one_of(
    some.text(CHARACTERS, min_size=4, max_size=40),
    some.text("[redacted] '\"\\/+%=.*^$", min_size=4, max_size=12),
    some.text("ab", min_size=4, max_size=12),
    some.text("ab\n\r ", min_size=4, max_size=40),
    some.text("a'\n\\", min_size=4, max_size=12),
    some.text("ab'\"&<>", min_size=4, max_size=12),
    some.binary(min_size=4, max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    some.from_regex(r"sk_live_[A-Za-z0-9+/]{8,40}", fullmatch=True),
).filter(lambda value: why_not(value) is None)
AROUND = some.one_of(some.text(CHARACTERS, max_size=30), some.text("[]redacted ab\\%+'\"", max_size=30))


def is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def octets(value: str) -> bytes:
    """What the environment variable holds."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def in_base64(alphabet: bytes) -> Callable[[str], list[str]]:
    """What is left of it in any longer text: the characters that the bytes around it have no part in."""

    def forms(value: str) -> list[str]:
        raw = octets(value)
        found = []
        for before in range(3):
            whole = base64.b64encode(b"\xff" * before + raw + b"\xff" * 3, altchars=alphabet)
            first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
            found.append(whole[first:last].decode())
        return found

    return forms


def lower_hex(text: str) -> str:
    pieces = text.split("%")
    return "%".join([pieces[0], *(piece[:2].lower() + piece[2:] for piece in pieces[1:])])


ENCODINGS: Mapping[str, Callable[[str], list[str]]] = {
    "raw": lambda value: [value],
    "stripped": lambda value: [value.strip()],
    "each line": lambda value: [line.strip() for line in value.replace("\r", "\n").split("\n") if not why_not(line)],
    "base64": in_base64(b"+/"),
    "base64 for URLs": in_base64(b"-_"),
    "JSON": lambda value: [json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]],
    "Python": lambda value: [repr(value)[1:-1], repr({"key": [value]})[9:-3], ascii(value)[1:-1]],
    "Python bytes": lambda value: [repr(octets(value))[2:-1]],
    "percent": lambda value: [
        urllib.parse.quote(octets(value), safe=safe).replace("%20", space)
        for safe, space in product(("", "/", "!'()*"), ("%20", "+"))
    ],
    "a form": lambda value: [urllib.parse.quote_plus(octets(value), safe="*").replace("~", "%7E")],
    "a shell's word": lambda value: [shlex.quote(f" {value}")[2:-1], value.replace("'", "'\\''")],
    "a page": lambda value: [
        html.escape(value),
        html.escape(value, quote=False),
        html.escape(value).replace("&#x27;", "&#39;"),
    ],
    "JSON in JSON": lambda value: [
        json.dumps(json.dumps({"key": value}))[13:-4],
        json.dumps(json.dumps({"key": value}, ensure_ascii=False), ensure_ascii=False)[13:-4],
    ],
    "percent, small letters": lambda value: [
        lower_hex(urllib.parse.quote(octets(value), safe="")), lower_hex(urllib.parse.quote_plus(octets(value)))
    ],
}  # fmt: skip
CHUNKS = some.lists(some.integers(0, 200), max_size=6)


def in_pieces(redactor: Redactor, text: str, cuts: list[int]) -> str:
    data = text.encode("utf-8", "surrogatepass")
    pieces = redactor.pieces()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    told = [pieces.feed(data[start:end]) for start, end in pairwise(edges)]
    return b"".join([*told, pieces.finish()]).decode("utf-8", "surrogatepass")


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(
    values=some.lists(VALUES, min_size=1, max_size=4),
    around=some.lists(AROUND, min_size=2, max_size=6),
    order=some.lists(some.integers(0, 30), min_size=1, max_size=5),
    cuts=CHUNKS,
)
@settings(max_examples=60, deadline=None)
@example(values=["ted]xyz", "hunter22"], around=["", ""], order=[1, 0], cuts=[])
@example(values=["abcabc", "cabcab", "bcab"], around=["abcabcabcab", "ab"], order=[0, 1], cuts=[3, 4, 8])
@example(values=["p@ss w\u00f6rd/+'\"\\"], around=["x", "\\"], order=[0], cuts=[1, 5])
def test_what_is_told_never_holds_a_secret(
    encoding: str, values: list[str], around: list[str], order: list[int], cuts: list[int]
) -> None:
    forms = [form for value in values for form in ENCODINGS[encoding](value)]
    assume(forms)
    written = [forms[number % len(forms)] for number in order]
    text = around[0] + "".join(form + between for form, between in zip(written, around[1:], strict=False))
    redactor = Redactor((f"SECRET_{number}", value) for number, value in enumerate(values))
    for told in (redactor.text(text), in_pieces(redactor, text, cuts), redactor.cut(text, 20, "")):
        assert not [form for form in forms if form in told], told


@given(values=some.lists(VALUES, min_size=1, max_size=4), text=AROUND, cuts=CHUNKS)
@settings(max_examples=200, deadline=None)
def test_pieces_and_the_whole_are_told_alike(values: list[str], text: str, cuts: list[int]) -> None:
    whole = text.join(values) + text
    redactor = Redactor((f"SECRET_{number}", value) for number, value in enumerate(values))
    assert in_pieces(redactor, whole, cuts) == redactor.text(whole)


@pytest.mark.parametrize(
    ("secrets", "text", "told"),
    [
        pytest.param({"KEY": "hunter22"}, "hunter2", "hunter2", id="what is only a part of it"),
        pytest.param({"KEY": "hunter22"}, "(hunter22)", "([redacted KEY])", id="with its name"),
        pytest.param({"KEY": ".*+?[a-z]"}, "abc .*+?[a-z]", "abc <redacted KEY>", id="what a pattern would misread"),
        pytest.param({"A": "hunter22", "B": "my hunter22!"}, "my hunter22!", "[redacted B]", id="one within another"),
        pytest.param({"A": "abcdef", "B": "defghi"}, "_abcdefghi_", "_[redacted A]_", id="two that overlap"),
        pytest.param({"A": "abcdef", "B": "ghijkl"}, "abcdefghijkl", "[redacted A][redacted B]", id="side by side"),
        pytest.param(
            {"KEY": "KEY_OF_MINE", "KEY_OF_MINE": "hunter22"}, "hunter22", "[redacted]", id="a name that is one"
        ),
        pytest.param({"KEY": "ab\ncdefg\n"}, "x=cdefg", "x=[redacted KEY]", id="a line of it"),
        pytest.param({"A": "abc", "B": "test", "C": "5432", "D": "----"}, "abc test 5432 ----", None, id="too common"),
        pytest.param({"A": "", "B": "\n"}, "\n text", None, id="empty"),
        pytest.param({}, "text", None, id="no secrets"),
    ],
)
def test_what_stands_in_its_place(secrets: dict[str, str], text: str, told: str | None) -> None:
    assert Redactor(secrets.items()).text(text) == (told or text)


def test_what_cannot_be_taken_out_has_a_reason() -> None:
    reasons = {
        value: why_not(value) for value in ("abc", "Postgres", "54321", "xxxxxxxx", "edac", "hunter22", "123456")
    }
    assert reasons == {
        "abc": "is shorter than 4 characters",
        "Postgres": "is a common word",
        "54321": "is a number of fewer than 6 digits",
        "xxxxxxxx": "is one character, repeated",
        "edac": "is a common word",
        "hunter22": None,
        "123456": None,
    }


def test_only_what_may_become_a_secret_is_held_back() -> None:
    secret = "sk_live_" + "0123456789" * 30
    pieces = Redactor([("KEY", secret)]).pieces()
    told = b""
    for piece in (b"x" * 1000, secret[:200].encode(), b"y" * 1000, secret[:250].encode(), secret[250:].encode()):
        told += pieces.feed(piece)
        assert len(pieces._held) < 4 * len(secret)
    assert len(pieces._held) < 100 and b"y" * 900 in told
    told += pieces.finish()
    assert told.decode() == "x" * 1000 + secret[:200] + "y" * 1000 + "[redacted KEY]"


@pytest.mark.parametrize("limit", [10, 1_000, 20_000])
def test_the_beginning_of_a_long_text_ends_with_no_part_of_a_secret(limit: int) -> None:
    secret = "sk_live_" + "abcdefghij" * 100
    text = ("x" * (limit - 500) + secret + "y" * 100_000)[:90_000]
    told = Redactor([("KEY", secret)]).cut(text, limit, "…")
    assert told.endswith("…") and len(told) <= limit + 1 and "sk_l" not in told


@pytest.mark.parametrize("kept", [8, 9, 30, 1_007, 1_008, 1_020])
def test_a_text_that_was_cut_already_ends_with_no_part_of_a_secret(kept: int) -> None:
    secret = "sk_live_" + "abcdefghij" * 100
    beginning = f"{secret} and {secret}"[:kept]
    redactor = Redactor([("KEY", secret)])
    for told in (redactor.text(beginning, goes_on=True), redactor.cut(beginning, 2_000, "", goes_on=True)):
        assert ("[redacted KEY] and " if kept >= len(secret) else "").startswith(told)


def _random(alphabet: str, length: int) -> str:
    return "".join(random.Random(length).choices(alphabet, k=length))


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: "\n".join(_random(string.ascii_letters, 500_000)), id="lines of one character"),
        pytest.param(lambda: _random("'\"&\\<", 1_000_000), id="nothing but what is escaped"),
        pytest.param(lambda: _random("\udc80\udcfe\x01", 500_000), id="binary"),
        pytest.param(
            lambda: "\n".join(f"{number:x}'&\"\\<>" for number in range(4096, 24_096)), id="as many lines as may be"
        ),
    ],
)
def test_no_secret_takes_long_to_prepare_for(made: Callable[[], str]) -> None:
    secret = made()
    before = time.process_time()
    assert Redactor([("KEY", secret)]).text("nothing of it") == "nothing of it"
    # A second or so where nothing else runs; the first of them used to take twelve.
    assert time.process_time() - before < 8


def test_a_redactor_shows_no_value() -> None:
    assert repr(Redactor([("KEY", "hunter22")])) == "Redactor(KEY)"


def test_a_megabyte_is_a_secret_like_any_other() -> None:
    secret = "".join(f"{number:x}." for number in range(180_000))
    redactor = Redactor([("HUGE", secret)])
    text = f"{secret}, and {base64.b64encode(b'x' + secret.encode()).decode()}"
    assert in_pieces(redactor, text, list(range(0, 2_500_000, 65_536))) == redactor.text(text)
    assert len(redactor.text(text)) < 60


def test_a_thousand_secrets_are_found() -> None:
    secrets = [(f"KEY_{number}", f"{number * 7919:08d}-secret-{number}!") for number in range(1000)]
    redactor = Redactor(secrets)
    for name, value in secrets[::97]:
        assert redactor.text(f"a {value} b") == f"a [redacted {name}] b"
