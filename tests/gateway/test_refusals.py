"""Every hostile request through a real listening socket: answered, closed without a reset, and never handed over."""

import socket

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.inside.head import Head, Refused, read_head
from reconciler.inside.upgrades import without_wish
from tests.gateway.heads import ACCEPTED, REFUSED
from tests.gateway.neighbours import Gateway, Worker, get, request
from tests.gateway.test_head import likely_heads
from tests.waiting import until_sync

SMUGGLED = get("/api/tasks/smuggled")


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_is_refused_for(name: str, gateway: Gateway, worker: Worker) -> None:
    data, status = REFUSED[name]
    before = len(worker.received)
    with gateway.client(data) as client:
        if b"\r\n\r\n" in data:
            client.send(SMUGGLED)
        reply = client.reply()
        assert (reply.status, reply.closes) == (status, True)
        assert reply.error["code"]
        assert client.is_closed()
    assert len(worker.received) == before, "no worker ever saw it"


@pytest.mark.parametrize("name", [name for name, (data, _) in ACCEPTED.items() if b" /api/tasks " in data])
def test_a_request_is_handed_over_with(name: str, gateway: Gateway, worker: Worker) -> None:
    before = len(worker.received)
    with gateway.client(ACCEPTED[name][0]):
        until_sync(lambda: len(worker.received) == before + 1, what="the worker to have it")


@pytest.mark.parametrize(
    "path",
    ["/api/../tasks", "/api/tasks%2f..", "/api/tasks/..%2fadmin", "/api/%2e%2e/x", "/api\\tasks", "/api/tasks%00"],
)
def test_a_disguised_path_is_refused(path: str, gateway: Gateway) -> None:
    reply = gateway.get(path)
    assert (reply.status, reply.closes) == (400, True)


def test_the_server_says_which_methods_it_takes(gateway: Gateway) -> None:
    with gateway.client(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n") as client:
        reply = client.reply()
        assert reply.status == 204
        assert "DELETE" in reply.fields["allow"]
        client.send(get("/api/tasks"))
        assert client.reply().status == 200, "the connection lives on"


def test_a_method_that_is_not_allowed_is_told_which_are(gateway: Gateway) -> None:
    assert "GET" in gateway.ask(request("TRACE", "/api/tasks")).fields["allow"]


def test_a_refused_client_that_is_still_sending_reads_its_answer(gateway: Gateway) -> None:
    """With unread bytes a close would be a reset, and the answer lost."""
    with gateway.client(request("POST", "/api/nothing", "Content-Length: 900000")) as client:
        client.send(b"x" * 900_000)
        assert client.reply().status == 404
        assert client.is_closed()


def test_a_reset_in_the_middle_of_a_head_disturbs_nobody(gateway: Gateway) -> None:
    for sent in (b"", b"GET /api", get("/api/tasks")[:-2]):
        client = gateway.client(sent)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
    assert gateway.get("/api/tasks").status == 200


class _Parsed:
    """What httptools, the worker's parser, makes of the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.target = b""
        self.body = b""
        self.headers_end = self.is_complete = self.upgrades = False
        self.fields: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.upgrades = True
        self.method = self._parser.get_method()
        self.version = self._parser.get_http_version()

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.headers_end = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_complete = True


def _accepted(data: bytes) -> Head | None:
    try:
        return read_head(data)
    except Refused:
        return None


@settings(max_examples=500, deadline=None)
@given(likely_heads(), st.sampled_from([b"", b"abc", b"0\r\n\r\n"]))
def test_what_is_accepted_means_the_same_to_the_parser_of_the_workers(data: bytes, body: bytes) -> None:
    head = _accepted(data)
    if head is None:
        return
    if head.chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    else:
        body = (body * 12)[: head.content_length].ljust(head.content_length, b".")
    parsed = _Parsed(data[: head.length] + body)
    assert (parsed.method, parsed.target) == (head.method, head.target)
    assert parsed.version == ("1.0" if head.version10 else "1.1")
    assert parsed.headers_end
    assert parsed.upgrades == head.upgrade
    if head.upgrade:
        parsed = _Parsed(without_wish(head, data)[: head.length] + body)
        assert not parsed.upgrades
    assert parsed.is_complete
    assert parsed.body == (body if not head.chunked else parsed.body)
    if parsed.target.startswith(b"/"):
        assert httptools.parse_url(parsed.target).path == head.path
