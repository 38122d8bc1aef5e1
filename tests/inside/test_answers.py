"""What leaves a worker as the answer to a request, whatever the application does."""

import pytest

from tests.inside.stage import Gateway, Worker, Zygote, request
from tests.inside.tasks import get, open_gate

FAILING = """
async def router(scope, receive, send):
    if scope["type"] != "http":
        raise TypeError(scope["type"])
    what = scope["path"].rpartition("/")[2]
    start = {"type": "http.response.start", "status": 503 if what == "busy" else 200, "headers": []}
    if what in ("after", "begun", "busy", "chatty", "well"):
        await send(start)
    if what == "announced":
        await send(start | {"headers": [(b"content-length", b"4")]})
    if what in ("after", "busy", "chatty", "well"):
        await send({"type": "http.response.body", "body": b"said"})
    if what in ("before", "begun", "announced", "after"):
        raise RuntimeError(what)
    return "more" if what == "chatty" else None
"""
FAILURES = {
    "an exception before the answer": ("before", 500, False, 1),
    "an exception in the middle of the answer": ("begun", 200, False, 0),
    "an exception after the answer": ("after", 200, True, 0),
    "no answer at all": ("silent", 500, False, 1),
    "a value that is returned": ("chatty", 200, False, 0),
    "an answer that says it is one": ("busy", 503, True, 1),
    "nothing": ("well", 200, True, 0),
}


@pytest.mark.parametrize(("path", "status", "is_kept", "failed"), FAILURES.values(), ids=FAILURES.keys())
def test_what_an_application_does_wrong_is_counted_and_ends_what_it_must(
    zygote: Zygote, path: str, status: int, is_kept: bool, failed: int
) -> None:
    worker = zygote.fork(FAILING)
    worker.ready()
    client = worker.attach().client(get(f"/api/tasks/{path}"))
    if path == "begun":
        assert client._until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    else:
        assert client.answer().status == status
    if is_kept:
        assert client.ask("GET", "/api/tasks/well").body == b"said"
    else:
        assert client.at_end()
    assert worker.stats()["failed"] == failed


def test_an_answer_that_fails_before_its_body_tells_so(zygote: Zygote) -> None:
    worker = zygote.fork(FAILING)
    worker.ready()
    client = worker.attach().client(get("/api/tasks/announced"))
    # Older versions of uvicorn have sent the head by then, and can only hang up.
    status = int(client._until(b"\r\n\r\n").split()[1])
    assert status == 500 or client.at_end()
    assert worker.stats()["failed"] == (status == 500)


ANSWERS = """
HEADERS = {
    "ordinary": [(b"content-length", b"4"), (b"content-type", b"text/plain")],
    "own": [(b"content-length", b"4"), (b"x-own", b"1"), (b"date", b"today")],
    "split": [(b"content-length", b"4"), (b"location", b"/a\\r\\nset-cookie: b=c")],
    "short": [(b"content-length", b"5")],
    "long": [(b"content-length", b"3")],
    "close": [(b"content-length", b"4"), (b"connection", b"close")],
    "unknown": [],
}

async def router(scope, receive, send):
    if scope["type"] != "http":
        raise TypeError(scope["type"])
    what = scope["path"].rpartition("/")[2]
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS[what]})
    await send({"type": "http.response.body", "body": b"said"})
"""


@pytest.fixture
def answers(zygote: Zygote) -> Gateway:
    worker = zygote.fork(ANSWERS)
    worker.ready()
    return worker.attach()


def test_an_answer_is_written_as_the_application_means_it(answers: Gateway) -> None:
    client = answers.client()
    for _ in range(2):
        answer = client.ask("GET", "/api/tasks/ordinary")
        assert list(answer.headers) == ["date", "x-request-id", "content-length", "content-type"]
        assert answer.body == b"said"
    answer = client.ask("GET", "/api/tasks/own")
    assert (answer.headers["x-own"], answer.headers["date"], answer.body) == ("1", "today", b"said")
    assert "x-request-id" in answer.headers
    assert client.ask("GET", "/api/tasks/unknown").body == b"said"
    assert client.ask("HEAD", "/api/tasks/ordinary").body == b""
    assert client.ask("GET", "/api/tasks/close").headers["connection"] == "close"
    assert client.at_end()


def test_an_answer_that_is_not_valid_http_is_not_sent(answers: Gateway) -> None:
    client = answers.client(get("/api/tasks/split"))
    assert client.at_end()
    for length in ("short", "long"):
        client = answers.client(get(f"/api/tasks/{length}"))
        client._until(b"\r\n\r\n")
        client.sock.settimeout(5)
        assert len(client.buffer) + len(client.sock.recv(10)) <= 4
        assert client.sock.recv(10) == b""


def test_head_requests_have_no_body(gateway: Gateway) -> None:
    client = gateway.client(request("HEAD", "/api/tasks/hello") + get("/api/tasks/hello"))
    assert client.answer("HEAD").status == 405
    assert client.answer().status == 200


@pytest.mark.parametrize("path", ["stream", "hello"])
def test_http_1_0_is_answered_without_chunks(gateway: Gateway, path: str) -> None:
    client = gateway.client(get(f"/api/tasks/{path}").replace(b"HTTP/1.1", b"HTTP/1.0"))
    kept = gateway.client(get(f"/api/tasks/{path}")).answer()
    head = client._until(b"\r\n\r\n")
    body = client.buffer + b"".join(iter(lambda: client.sock.recv(65536), b""))
    assert b"transfer-encoding" not in head
    assert body == kept.body


def test_events_arrive_as_they_are_sent(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/events"))
    head = client._until(b"\r\n\r\n")
    assert b"text/event-stream" in head
    chunks = client.chunks()
    assert next(chunks) == b"data: first\n\n"
    open_gate(worker)
    assert list(chunks) == [b"data: last\n\n"]
