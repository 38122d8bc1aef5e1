"""What happens to a client's connection while a worker holds it."""

import hashlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inside.stage import Client, Gateway, Worker, Zygote, paused, request
from tests.waiting import until_sync

CODE = """
import asyncio, hashlib, os
from fastapi import APIRouter, BackgroundTasks, Request, WebSocket
from fastapi.responses import StreamingResponse

router = APIRouter()

async def gate():
    while not os.path.exists("gate"):
        await asyncio.sleep(0.005)

@router.get("/hello")
async def hello(request: Request):
    return {"path": request.scope["path"], "root": request.scope["root_path"], "query": request.url.query}

@router.post("/echo")
async def echo(request: Request):
    body = await request.body()
    return {"size": len(body), "sha": hashlib.sha256(body).hexdigest(), "names": sorted(request.headers)}

@router.post("/ignore")
async def ignore(): return "ignored"

@router.get("/slow")
async def slow():
    await gate()
    return "done"

@router.get("/stream")
async def stream():
    async def parts():
        for number in range(3):
            yield f"part {number}\\n"
    return StreamingResponse(parts())

@router.get("/events")
async def events():
    async def parts():
        yield "data: first\\n\\n"
        await gate()
        yield "data: last\\n\\n"
    return StreamingResponse(parts(), media_type="text/event-stream")

@router.get("/background")
async def background(tasks: BackgroundTasks):
    async def later():
        await gate()
        print("background done")
    tasks.add_task(later)
    return "begun"

@router.get("/big")
async def big(): return StreamingResponse(iter([b"x" * 100_000] * 50), headers={"content-length": "5000000"})

@router.get("/own-id")
async def own_id():
    from fastapi import Response
    return Response("x", headers={"X-Request-Id": "mine"})

@router.get("/client")
async def client(request: Request): return [request.url.scheme, request.client.host]

@router.websocket("/ws")
async def ws(socket: WebSocket):
    await socket.accept()
    await socket.send_text(f"{socket.scope['root_path']} {socket.scope['path']}")
    while True:
        await socket.send_text((await socket.receive_text()).upper())
"""


@pytest.fixture
def worker(zygote: Zygote) -> Worker:
    worker = zygote.fork(CODE)
    worker.ready()
    return worker


@pytest.fixture
def gateway(worker: Worker) -> Gateway:
    return worker.attach()


def open_gate(worker: Worker) -> None:
    """Let the requests go on that wait for it."""
    (Path(worker.spec["code"]) / "gate").touch()


def get(path: str, **headers: str) -> bytes:
    return request("GET", path, b"", **headers)


def post(path: str, body: bytes, **headers: str) -> bytes:
    return request("POST", path, body, **headers)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def test_a_handed_over_connection_is_answered_and_kept(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/hello?a=1"))
    answer = client.answer()
    assert answer.json == {"path": "/api/tasks/hello", "root": "/api/tasks", "query": "a=1"}
    assert answer.headers["date"].endswith("GMT") and "server" not in answer.headers
    assert client.ask("GET", "/api/tasks/hello").status == 200


def test_bytes_that_the_gateway_has_read_come_first(gateway: Gateway) -> None:
    whole = get("/api/tasks/hello")
    client = gateway.client(whole[20:], unread=whole[:20])
    assert client.answer().status == 200


def test_a_head_may_arrive_byte_by_byte(gateway: Gateway) -> None:
    client = gateway.client()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in get("/api/tasks/hello"):
        client.send(bytes([byte]))
    assert client.answer().status == 200


def test_a_request_for_another_service_goes_back_with_every_byte(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/hello"))
    assert client.answer().status == 200
    foreign = post("/api/other/x", b"body") + b"and more"
    client.send(foreign)
    sock, unread = gateway.returned()
    assert unread == foreign
    # The connection lives: whoever holds it now answers the same client.
    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert client.answer().status == 204
    assert worker.stats()["handed_back"] == 1
    assert until_sync(lambda: worker.stats()["connections"] == 0)


@pytest.mark.parametrize(
    "path", ["/api/tasksx", "/api/task", "/api/%74asks/hello", "/api//tasks", "/", "/api/tasks2/x"]
)
def test_only_the_exact_prefix_is_its_own(gateway: Gateway, path: str) -> None:
    gateway.client(get(path))
    assert gateway.returned()[1] == get(path)


def test_pipelined_requests_are_answered_in_order(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/slow") + get("/api/tasks/stream") + post("/api/tasks/echo", b"abc"))
    open_gate(worker)
    assert client.answer().json == "done"
    assert client.answer().body == b"part 0\npart 1\npart 2\n"
    assert client.answer().json["size"] == 3


def test_a_pipeline_over_two_services_is_split_between_them(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/hello") + get("/api/tasks/hello") + get("/api/other/x") + b"GET /api/ta")
    sock, unread = gateway.returned()
    assert unread == get("/api/other/x") + b"GET /api/ta"
    assert [client.answer().status, client.answer().status] == [200, 200]
    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert client.answer().status == 204


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
    assert client.answer().json == "ignored"
    assert client.at_end()


def test_an_early_answer_does_not_lose_the_next_request(gateway: Gateway) -> None:
    client = gateway.client(post("/api/tasks/ignore", b"", Content_Length="100000"))
    assert client.answer().json == "ignored"
    client.send(b"x" * 100_000 + get("/api/tasks/hello"))
    assert client.answer().status == 200


def test_http_1_0_and_connection_close_end_after_the_response(gateway: Gateway) -> None:
    client = gateway.client(b"GET /api/tasks/hello HTTP/1.0\r\n\r\n")
    assert client.answer().status == 200 and client.at_end()
    client = gateway.client(get("/api/tasks/hello", Connection="close"))
    answer = client.answer()
    assert answer.headers["connection"] == "close" and client.at_end()


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


def test_events_arrive_as_they_are_sent(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/events"))
    head = client._until(b"\r\n\r\n")
    assert b"text/event-stream" in head
    chunks = client.chunks()
    assert next(chunks) == b"data: first\n\n"
    open_gate(worker)
    assert list(chunks) == [b"data: last\n\n"]


def test_request_ids_are_kept_or_made(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/hello", X_Request_Id="abc-1"))
    assert client.answer().headers["x-request-id"] == "abc-1"
    for bad in ("with blank", "x" * 129, "\xe9"):
        made = client.ask("GET", "/api/tasks/hello", x_request_id=bad).headers["x-request-id"]
        assert made.isascii() and made != bad and 8 < len(made) < 40
    first, second = (client.ask("GET", "/api/tasks/hello").headers["x-request-id"] for _ in range(2))
    assert first != second
    assert client.ask("GET", "/api/tasks/own-id").headers["x-request-id"] == "mine"


def test_a_proxy_on_this_machine_may_speak_for_its_client(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/client", X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="https"))
    assert client.answer().json == ["https", "192.0.2.7"]
    assert client.ask("GET", "/api/tasks/client").json == ["http", "127.0.0.1"]


def test_the_private_listener_serves_its_own_prefix_only(worker: Worker) -> None:
    with worker.private() as client:
        assert client.ask("GET", "/api/tasks/hello").status == 200
        answer = client.ask("GET", "/api/other/hello")
        assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
        assert client.at_end()


def websocket(gateway: Gateway) -> Client:
    client = gateway.client(
        get(
            "/api/tasks/ws",
            Connection="Upgrade",
            Upgrade="websocket",
            Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        )
        + frame(b"early")
    )
    assert client.answer().status == 101
    assert read_frame(client) == (1, b"/api/tasks /api/tasks/ws")
    assert read_frame(client) == (1, b"EARLY")
    return client


def frame(text: bytes) -> bytes:
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


def read_frame(client: Client) -> tuple[int, bytes]:
    first, size = client._exactly(2)
    return first & 15, client._exactly(size)


def test_a_websocket_lives_until_the_drain_deadline_and_closes_with_1012(gateway: Gateway, worker: Worker) -> None:
    client = websocket(gateway)
    worker.retire(drain=0.3)
    worker.wire.next("state", state="draining")
    client.send(frame(b"still here"))
    assert read_frame(client) == (1, b"STILL HERE")
    assert read_frame(client) == (8, (1012).to_bytes(2, "big"))
    assert worker.stopped() == {"requests": 0, "tasks": 0, "websockets": 1, "calls": 0}
    assert worker.exited() == 0


def test_a_websocket_that_ends_in_time_is_not_cut(gateway: Gateway, worker: Worker) -> None:
    client = websocket(gateway)
    worker.retire(drain=10)
    client.sock.close()
    assert worker.stopped()["websockets"] == 0
    assert worker.exited() == 0


def test_an_unknown_upgrade_is_an_ordinary_request(gateway: Gateway) -> None:
    client = gateway.client(get("/api/tasks/hello", Connection="Upgrade", Upgrade="h2c") + get("/api/tasks/hello"))
    assert [client.answer().status, client.answer().status] == [200, 200]


def test_at_retirement_idle_connections_go_back_and_live_on(gateway: Gateway, worker: Worker) -> None:
    clients = [gateway.client(get("/api/tasks/hello")) for _ in range(50)]
    for client in clients:
        client.answer()
    clients[0].send(b"GET /api/tas")
    until_sync(lambda: worker.stats()["connections"] == 50)
    worker.retire()
    returned = [gateway.returned() for _ in clients]
    # Some bytes of a next request may be read or still lie in the kernel; both arrive.
    for sock, unread in returned:
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(unread), unread))
    assert {client.answer().status for client in clients} == {200}
    assert worker.stopped() == {"requests": 0, "tasks": 0, "websockets": 0, "calls": 0}
    assert worker.exited() == 0


def test_at_retirement_what_lies_in_the_channel_is_not_lost(gateway: Gateway, worker: Worker) -> None:
    with paused(worker.pid):
        clients = [gateway.client(get("/api/tasks/hello")) for _ in range(8)]
        worker.retire()
    # Whether it was answered before it came back depends on what the loop saw first.
    for _ in clients:
        sock, unread = gateway.returned()
        sock.settimeout(0.001)
        if unread or waits(sock):
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert [client.answer().status for client in clients] == [200] * len(clients)
    assert worker.exited() == 0


def waits(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False


def test_at_retirement_what_was_begun_is_finished(gateway: Gateway, worker: Worker) -> None:
    slow = gateway.client(get("/api/tasks/slow") + get("/api/tasks/hello"))
    upload = gateway.client(post("/api/tasks/echo", b"", Content_Length="6") + b"abc")
    until_sync(lambda: worker.stats()["in_flight"] == 2)
    worker.retire()
    worker.wire.next("state", state="draining")
    upload.send(b"def")
    assert upload.answer().json["size"] == 6
    assert gateway.returned()[1] == b""
    open_gate(worker)
    assert slow.answer().json == "done"
    # Read by the retiring worker, to be answered by the next release.
    assert gateway.returned()[1] == get("/api/tasks/hello")
    assert worker.stopped() == {"requests": 0, "tasks": 0, "websockets": 0, "calls": 0}


def test_at_retirement_a_response_is_written_to_its_end_first(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/big"))
    until_sync(lambda: worker.stats()["requests"] == 1 or worker.stats()["in_flight"] == 1)
    worker.retire()
    assert len(client.answer().body) == 5_000_000
    sock, _ = gateway.returned()
    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert client.answer().status == 204
    assert worker.stopped()["requests"] == 0


def test_background_tasks_finish_inside_the_drain(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/background"))
    assert client.answer().json == "begun"
    worker.retire()
    gateway.returned()
    open_gate(worker)
    assert worker.stopped()["tasks"] == 0
    assert worker.said("background done")["request"] is not None


def test_what_outlives_the_drain_is_cut_and_counted(gateway: Gateway, worker: Worker) -> None:
    gateway.client(get("/api/tasks/slow"))
    gateway.client(get("/api/tasks/background")).answer()
    stream = gateway.client(get("/api/tasks/events"))
    next(iter_chunks(stream))
    worker.retire(drain=0.1)
    assert worker.stopped() == {"requests": 2, "tasks": 1, "websockets": 0, "calls": 0}
    assert worker.exited() == 0


def iter_chunks(client: Client) -> Iterator[bytes]:
    client._until(b"\r\n\r\n")
    return client.chunks()


def test_when_the_gateway_dies_connections_live_on_and_wait_for_the_next(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/hello"))
    client.answer()
    gateway.die()
    assert client.ask("GET", "/api/tasks/hello").status == 200
    client.send(get("/api/other/x"))
    assert client_waits(client)
    assert worker.attach().returned()[1] == get("/api/other/x")


def client_waits(client: Client) -> bool:
    client.sock.settimeout(0.05)
    try:
        client.sock.recv(1)
    except TimeoutError:
        return True
    finally:
        client.sock.settimeout(10)
    return False


def test_at_retirement_without_a_gateway_idle_connections_wait_for_one(gateway: Gateway, worker: Worker) -> None:
    client = gateway.client(get("/api/tasks/hello"))
    client.answer()
    gateway.die()
    worker.retire(drain=10)
    worker.wire.next("state", state="draining")
    sock, unread = worker.attach().returned()
    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (client.answer().status, unread) == (204, b"")
    worker.stopped()


def test_a_request_that_no_gateway_took_before_the_deadline_is_told_to_try_again(
    gateway: Gateway, worker: Worker
) -> None:
    client = gateway.client(get("/api/tasks/hello"))
    client.answer()
    gateway.die()
    client.send(get("/api/other/x"))
    assert client_waits(client)
    worker.retire(drain=0.1)
    answer = client.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert client.at_end()
    worker.stopped()


def test_a_full_channel_loses_nothing(gateway: Gateway, worker: Worker) -> None:
    # More than a channel holds: nobody reads it until all have been sent back.
    clients = [gateway.client(get("/api/tasks/hello")) for _ in range(60)]
    for client in clients:
        client.answer()
    foreign = post("/api/other/x", b"x" * 40_000)
    for client in clients:
        client.send(foreign)
    until_sync(lambda: worker.stats()["handed_back"] > 5)
    bodies = [len(gateway.returned()[1]) for _ in clients]
    assert all(0 < size <= len(foreign) for size in bodies)
    assert until_sync(lambda: worker.stats()["handed_back"] == len(clients))


def test_what_is_no_connection_is_survived(gateway: Gateway, worker: Worker) -> None:
    gateway.channel.send(b"garbage")
    assert gateway.client(get("/api/tasks/hello")).answer().status == 200


def test_when_the_platform_is_gone_everything_ends(tmp_path: Path) -> None:
    zygote = Zygote(tmp_path)
    worker = zygote.fork(CODE)
    worker.ready()
    os.kill(zygote.process.pid, signal.SIGKILL)
    zygote.process.wait(5)
    # A worker outlives its zygote, but not the platform.
    assert worker.get("/hello").status == 200
    zygote.lifeline.close()
    until_sync(lambda: not Path(f"/proc/{worker.pid}/cmdline").exists() or is_zombie(worker.pid), what="its end")
    zygote.close()


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
