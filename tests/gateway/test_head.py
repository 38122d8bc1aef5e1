"""The strict request check: what it accepts, what it refuses and why, and that its two readers agree."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.inside import head as module
from reconciler.inside.head import TARGET_LIMIT, Head, Refused, read_head
from reconciler.inside.prefix import service_prefix
from tests.gateway.heads import ACCEPTED, BAD, REFUSED


@pytest.mark.parametrize("name", ACCEPTED)
def test_it_accepts(name: str) -> None:
    data, expected = ACCEPTED[name]
    head = read_head(data)
    assert head is not None
    assert {field: getattr(head, field) for field in expected} == expected
    assert repr(module._read_carefully(data)) == repr(head), "the careful reader agrees"


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(name: str) -> None:
    data, status = REFUSED[name]
    with pytest.raises(Refused) as refused:
        read_head(data)
    assert refused.value.status == status
    assert refused.value.message.endswith(".")


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_beginning_of_a_good_head_is_merely_incomplete(name: str) -> None:
    data, _ = ACCEPTED[name]
    head = read_head(data)
    assert head is not None
    assert all(read_head(data[:end]) is None for end in range(head.length))
    assert repr(read_head(bytearray(data) + b"\x00\xff")) == repr(head), "what follows does not matter"


def test_it_refuses_before_the_head_is_complete() -> None:
    assert _status(b"GET / HTTP/1.1\r\nHost: a\r\n folded") == BAD
    assert _status(b"GET /a HTTP/3.0\r\n") == 505
    assert _status(b"GET /" + b"a" * (TARGET_LIMIT + 1)) == 414


PIECES = st.sampled_from(
    [
        *(b"GET POST HEAD get FROB OPTIONS CONNECT".split()),
        b"/api/tasks", b"/a?b", b"*", b"http://localhost/x", b"http://localhost", b"/a#b", b"/%2e%2e/", b"\\",
        b" ", b"  ", b"\t", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b":", b"\x00", b"\x7f", b"\xff", b",", b"\x0b",
        b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"Host: localhost\r\n", b"Host", b"host: ", b"localhost", b"[::1]:80",
        b"Content-Length: ", b"Content-Length: 3\r\n", b"5", b"007", b"9223372036854775808",
        b"Transfer-Encoding: ", b"chunked", b"gzip, ", b"Connection: ", b"close", b"keep-alive", b"upgrade",
        b"Upgrade: websocket\r\n", b"Upgrade:\r\n", b"Expect: ", b"100-continue", b"Accept: */*\r\n", b"X-Y_z: 1\r\n",
    ]
)  # fmt: skip
FIELDS = st.lists(
    st.sampled_from(
        [
            b"Host: localhost", b"Host: a", b"host:localhost ", b"Content-Length: 3", b"Content-Length:  0",
            b"content-length: 12\t", b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED", b"Connection: close",
            b"Connection: Upgrade, keep-alive", b"Connection:", b"Connection: ,", b"Upgrade: h2c", b"Upgrade:",
            b"Expect: 100-continue", b"Expect: x", b"Accept: */*", b"X: \xe9", b"X-Host: evil", b"Hosts: a", b"A:",
            b"Proxy-Connection: keep-alive", b"Te: trailers", b"Cookie: a=b; c=\"d\"", b"Content-Lengthy: 4", b"B : c",
        ]
    ),
    max_size=6,
)  # fmt: skip


@st.composite
def likely_heads(draw: st.DrawFn) -> bytes:
    """Mostly good heads, so that both readers get to say yes."""
    method = draw(st.sampled_from([b"GET", b"POST", b"DELETE", b"OPTIONS", b"PUT", b"LOCK"]))
    target = draw(st.sampled_from([b"/", b"/api/tasks/1?x=y", b"//a", b"/a\\b", b"http://localhost/b?c", b"*"]))
    minor = draw(st.sampled_from([b"1", b"1", b"1", b"0"]))
    fields = [draw(st.sampled_from([b"Host: localhost", b"Host: localhost", b"A: b"])), *draw(FIELDS)]
    body = draw(st.sampled_from([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]))
    return method + b" " + target + b" HTTP/1." + minor + b"\r\n" + b"\r\n".join(fields) + b"\r\n\r\n" + body


HEADS = st.one_of(likely_heads(), st.lists(PIECES, max_size=14).map(b"".join), st.binary(max_size=60))


@settings(max_examples=800, deadline=None)
@given(HEADS)
def test_the_two_readers_agree(data: bytes) -> None:
    ordinary = module._read_ordinary(data)
    if ordinary is not None:
        assert repr(ordinary) == repr(module._read_carefully(data))


@settings(max_examples=300, deadline=None)
@given(likely_heads(), st.data())
def test_damage_never_surprises_it(data: bytes, choice: st.DataObject) -> None:
    """It answers with a head, with None, or with a refusal, whatever is done to the bytes."""
    at = choice.draw(st.integers(0, len(data) - 1))
    damaged = data[:at] + choice.draw(st.binary(max_size=3)) + data[at + choice.draw(st.integers(0, 2)) :]
    try:
        head = read_head(damaged)
    except Refused as refused:
        assert refused.status in (400, 405, 414, 417, 431, 501, 505)
    else:
        assert head is None or isinstance(head, Head)


PREFIXES = {
    "a service": (b"/api/tasks", b"/api/tasks"),
    "below a service": (b"/api/tasks/7/items", b"/api/tasks"),
    "with a slash at the end": (b"/api/tasks/", b"/api/tasks"),
    "another service that begins alike": (b"/api/tasks-x/1", b"/api/tasks-x"),
    "another case": (b"/api/Tasks", b"/api/Tasks"),
    "another case of the mount": (b"/API/tasks", None),
    "outside the mount": (b"/healthz", None),
    "the mount itself": (b"/api", None),
    "the mount with a slash": (b"/api/", None),
    "what begins like the mount": (b"/apix/tasks", None),
    "two slashes below the mount": (b"/api//tasks", None),
    "two slashes before the mount": (b"//api/tasks", None),
    "an encoded letter is not decoded": (b"/api/%74asks", b"/api/%74asks"),
    "a parameter is part of the name": (b"/api/tasks;v=1", b"/api/tasks;v=1"),
    "an encoded slash inside the service": (b"/api/tasks/a%2Fb", b"/api/tasks"),
    "dots inside the service that do not leave it": (b"/api/tasks/a/../b", b"/api/tasks"),
    "dots that are part of a name": (b"/api/tasks/..a/b...c", b"/api/tasks"),
    "the server itself": (b"*", None),
}
DISGUISED = (
    b"/api/../tasks", b"/api/./tasks", b"/../api/tasks", b"/api/..", b"/api/tasks%2fx", b"/api%2Ftasks",
    b"/api%2ftasks/x",
    b"/api/tasks%5cx", b"/api/tasks\\x", b"\\api/tasks", b"/api/tasks%00", b"/api/tasks%0d%0a", b"/api/tasks%0a",
    b"/api/%2e%2e/tasks", b"/api/%2E/tasks", b"/%2e/api/tasks", b"/api/tasks%2e",
    b"/api/tasks/../other", b"/api/tasks/..", b"/api/tasks/%2e%2E/other", b"/api/tasks/..%2fother",
    b"/api/tasks/..%5cother",
    b"/api/tasks/..\\other", b"/api/tasks/a/../../other", b"/api/tasks/a%2f..%2f..%2fother", b"/api/tasks/..;x/other",
    b"/api/tasks/.%2e/other",
)  # fmt: skip


@pytest.mark.parametrize("name", PREFIXES)
def test_a_path_belongs_to(name: str) -> None:
    path, prefix = PREFIXES[name]
    assert service_prefix(path, b"/api") == prefix


@pytest.mark.parametrize("path", DISGUISED, ids=bytes.decode)
def test_a_path_that_could_mean_another_service_is_refused(path: bytes) -> None:
    with pytest.raises(Refused) as refused:
        service_prefix(path, b"/api")
    assert refused.value.status == BAD


@pytest.mark.parametrize(
    ("mount", "path", "prefix"),
    [
        (b"/", b"/tasks/1", b"/tasks"),
        (b"/", b"/", None),
        (b"/services/v1/api", b"/services/v1/api/tasks/1", b"/services/v1/api/tasks"),
        (b"/services/v1/api", b"/services/v1/tasks", None),
    ],
)
def test_the_mount_may_be_any_path(mount: bytes, path: bytes, prefix: bytes | None) -> None:
    assert service_prefix(path, mount) == prefix


def test_disguises_are_found_below_any_mount() -> None:
    for mount, path in (
        (b"/", b"/../tasks"),
        (b"/", b"/%2e%2e"),
        (b"/a/b", b"/a/b/../tasks"),
        (b"/a/b", b"/a%2fb/tasks"),
    ):
        with pytest.raises(Refused):
            service_prefix(path, mount)


def _status(data: bytes) -> int:
    with pytest.raises(Refused) as refused:
        read_head(data)
    return refused.value.status
