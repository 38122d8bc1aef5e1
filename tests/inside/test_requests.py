"""What a worker takes for a request: bodies of every form, to the byte, and what it refuses."""

import hashlib
import select
import socket

import pytest

from tests.inside.stage import Gateway, Zygote
from tests.inside.tasks import CODE, get, post


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


BODIES = {
    "small": b"abc",
    "over one megabyte": b"0123456789abcdef" * 100_000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("is_chunked", [False, True], ids=["content-length", "chunked"])
def test_bodies_arrive_whole_and_what_follows_them_too(gateway: Gateway, body: bytes, is_chunked: bool) -> None:
    if is_chunked:
        cut = [body[at : at + 30_011] for at in range(0, len(body), 30_011)]
        whole = post("/api/tasks/echo", chunked(*cut), Transfer_Encoding="chunked")
    else:
        whole = post("/api/tasks/echo", body)
    client = gateway.client()
    client.send(whole + get("/api/tasks/hello") + get("/api/other/x"))
    answer = client.answer()
    assert (answer.json["size"], answer.json["sha"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert client.answer().json["path"] == "/api/tasks/hello"
    assert gateway.returned()[1] == get("/api/other/x")


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
def test_a_chunked_body_may_be_cut_anywhere(gateway: Gateway, piece: int) -> None:
    body = b"5;name=value\r\nhello\r\n0007\r\n, world\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n"
    whole = post("/api/tasks/echo", body, Transfer_Encoding="chunked") + get("/api/tasks/hello")
    client = gateway.client()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(whole), piece):
        client.send(whole[at : at + piece])
    answer = client.answer()
    assert answer.json["size"] == 12
    assert "x-sum" not in answer.json["names"]
    assert client.answer().status == 200


MALFORMED = {
    "size is not a number": b"xyz\r\nhello\r\n0\r\n\r\n",
    "size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "size with a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size is empty": b"\r\nhello\r\n0\r\n\r\n",
    "size is endless": b"5" * 300,
    "bare line feed": b"5\nhello\n0\n\n",
    "chunk longer than its size": b"5\r\nhello!\r\n0\r\n\r\n",
    "extension is endless": b"5;" + b"x" * 300,
    "trailer is not a field": b"0\r\nno field\r\n\r\n",
    "trailer is endless": b"0\r\n" + b"X-A: b\r\n" * 2000,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_chunked_body_is_refused_and_ends_the_connection(gateway: Gateway, body: bytes) -> None:
    client = gateway.client(post("/api/tasks/echo", body, Transfer_Encoding="chunked"))
    answer = client.answer()
    assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request")
    assert answer.json["error"]["service"] == "tasks" and answer.headers["connection"] == "close"
    assert client.at_end()


REFUSED = {
    "both lengths": post("/api/tasks/echo", b"x", Content_Length="1", Transfer_Encoding="chunked"),
    "no host": b"GET /api/tasks/hello HTTP/1.1\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "bare line feed": b"GET /api/tasks/hello HTTP/1.1\nHost: a\n\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_strict_http_is_refused(gateway: Gateway, data: bytes) -> None:
    client = gateway.client(get("/api/tasks/hello"))
    client.answer()
    client.send(data)
    answer = client.answer()
    assert answer.status == 400 and "error" in answer.json
    assert client.at_end()


@pytest.mark.parametrize("climb", ["../other", "a/../../../other", "..%2fother", "a%2f..%2f..%2f..%2fother"])
def test_a_path_that_climbs_out_is_refused_on_a_kept_connection_too(gateway: Gateway, climb: str) -> None:
    client = gateway.client(get("/api/tasks/hello"))
    client.answer()
    client.send(get(f"/api/tasks/{climb}"))
    assert client.answer().status == 400
    assert client.at_end()


def test_a_body_over_the_limit_is_refused(zygote: Zygote) -> None:
    worker = zygote.fork(CODE, body_limit=1000)
    worker.ready()
    gateway = worker.attach()
    assert gateway.client(post("/api/tasks/echo", b"x" * 1000)).answer().status == 200
    assert gateway.client(post("/api/tasks/echo", b"x" * 1001)).answer().status == 413
    body = chunked(b"x" * 600, b"x" * 600)
    answer = gateway.client(post("/api/tasks/echo", body, Transfer_Encoding="chunked")).answer()
    assert (answer.status, answer.json["error"]["code"]) == (413, "body_too_large")


def test_expect_continue_is_answered_when_the_body_is_wanted(gateway: Gateway) -> None:
    client = gateway.client(post("/api/tasks/echo", b"", Expect="100-continue", Content_Length="3"))
    assert client.answer().status == 100
    client.send(b"abc")
    assert client.answer().json["size"] == 3


def test_a_body_that_nobody_wanted_and_nobody_sent_ends_the_connection(gateway: Gateway) -> None:
    client = gateway.client(post("/api/tasks/ignore", b"", Expect="100-continue", Content_Length="3"))
    answer = client.answer()
    assert (answer.json, answer.headers["connection"]) == ("ignored", "close")
    assert client.at_end()


@pytest.mark.parametrize("path", ["ignore", "crash"])
def test_who_is_still_sending_reads_the_last_answer(gateway: Gateway, path: str) -> None:
    """With unread bytes a close would be a reset, and the answer lost."""
    client = gateway.client(post(f"/api/tasks/{path}", b"", Content_Length="900000", Connection="close"))
    select.select((client.sock,), (), (), 10)
    client.send(b"x" * 900_000)
    assert client.answer().status == (500 if path == "crash" else 200)
    assert client.at_end()


def test_an_early_answer_does_not_lose_the_next_request(gateway: Gateway) -> None:
    client = gateway.client(post("/api/tasks/ignore", b"", Content_Length="100000"))
    assert client.answer().json == "ignored"
    client.send(b"x" * 100_000 + get("/api/tasks/hello"))
    assert client.answer().status == 200


@pytest.mark.parametrize("framing", [{"Transfer_Encoding": "chunked"}, {"Content_Length": "50000000"}])
def test_who_sends_without_end_after_the_answer_meets_a_broken_pipe(gateway: Gateway, framing: dict[str, str]) -> None:
    """And no reset, at which many a client does not look for its answer any more."""
    client = gateway.client(post("/api/tasks/ignore", b"", **framing))
    select.select((client.sock,), (), (), 10)
    with pytest.raises(BrokenPipeError):
        client.send(chunked(b"x" * 10_000, end=b"") * 5000)
    assert client.answer().json == "ignored"


def test_http_1_0_and_connection_close_end_after_the_response(gateway: Gateway) -> None:
    client = gateway.client(b"GET /api/tasks/hello HTTP/1.0\r\n\r\n")
    assert client.answer().status == 200 and client.at_end()
    client = gateway.client(post("/api/tasks/echo", b"abc", Expect="100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert client.answer().json["size"] == 3 and client.at_end()
    client = gateway.client(get("/api/tasks/hello", Connection="close"))
    answer = client.answer()
    assert answer.headers["connection"] == "close" and client.at_end()
