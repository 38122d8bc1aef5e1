"""Who is signed in to the control plane is no service's business, though a browser sends it to all on the same host."""

import pytest

from reconciler.api.access import SESSION as OURS
from reconciler.inside.cookies import SESSION, without_sessions
from tests.inside.stage import Client, Gateway, Zygote, request

CODE = """
from fastapi import APIRouter, Request, WebSocket
router = APIRouter()

@router.post("/cookies")
async def cookies(request: Request):
    return [request.headers.getlist("cookie"), sorted(request.headers), len(await request.body())]

@router.websocket("/ws")
async def ws(socket: WebSocket):
    await socket.accept()
    await socket.send_text(" | ".join(socket.headers.getlist("cookie")) or "none")
"""
SIGNED_IN = "reconciler_session_8001=rcl_0123456789_abc"
OTHERS = "reconciler_session_8002=x"


@pytest.fixture
def gateway(zygote: Zygote) -> Gateway:
    worker = zygote.fork(CODE)
    worker.ready()
    return worker.attach()


def test_both_sides_mean_the_same_cookie() -> None:
    assert OURS.encode() == SESSION


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (SIGNED_IN, None),
        (f"{SIGNED_IN}; {OTHERS}", None),
        (f"a=1; {SIGNED_IN}; b=2", "a=1; b=2"),
        (f"{SIGNED_IN}; a=1", "a=1"),
        (f"a=1;{SIGNED_IN}", "a=1"),
        (f"a=1;\t {SIGNED_IN} ;b = 2;;c", "a=1;b = 2;;c"),
        ("a=reconciler_session_8001", "a=reconciler_session_8001"),
        ("my_reconciler_session=1; theme=dark", "my_reconciler_session=1; theme=dark"),
    ],
)
def test_only_these_cookies_are_taken_out(sent: str, seen: str | None) -> None:
    rest = [(b"cookie", seen.encode())] if seen is not None else []
    others = [(b"host", b"x"), (b"x-note", SIGNED_IN.encode())]
    assert without_sessions([*others, (b"cookie", sent.encode())]) == others + rest


def post(cookies: tuple[str, ...], body: bytes = b"", **headers: str) -> bytes:
    plain = request("POST", "/api/tasks/cookies", body, **headers)
    lines = "".join(f"Cookie: {cookie}\r\n" for cookie in cookies).encode()
    return plain.replace(b"\r\n", b"\r\n" + lines, 1)


def seen(client: Client) -> list[str]:
    cookies, names, _ = client.answer().json
    assert ("cookie" in names) == bool(cookies)
    return list(cookies)


def test_an_application_does_not_see_them(gateway: Gateway) -> None:
    client = gateway.client(post((SIGNED_IN,)))
    assert seen(client) == []
    client.send(post((f"a=1; {SIGNED_IN}",)))
    assert seen(client) == ["a=1"]


def test_they_are_taken_out_of_every_header_and_of_no_body(gateway: Gateway) -> None:
    body = SIGNED_IN.encode() * 10_000
    client = gateway.client(post((f"a=1; {SIGNED_IN}", OTHERS, "b=2", f"{OTHERS}; c=3"), body))
    cookies, _, size = client.answer().json
    assert cookies == ["a=1", "b=2", "c=3"]
    assert size == len(body)


def test_they_are_taken_out_of_each_request_that_came_at_once(gateway: Gateway) -> None:
    requests = [post((SIGNED_IN,)), post(("a=1",), b"body"), post((f"b=2; {SIGNED_IN}",), b"body"), post((OTHERS,))]
    client = gateway.client(b"".join(requests))
    assert [seen(client) for _ in requests] == [[], ["a=1"], ["b=2"], []]


def test_they_are_taken_out_wherever_the_bytes_were_cut(gateway: Gateway) -> None:
    whole = post((f"a=1; {SIGNED_IN}",))
    for cut in (whole.index(b"session"), whole.index(b"8001"), len(whole) - 2):
        client = gateway.client(whole[cut:], unread=whole[:cut])
        assert seen(client) == ["a=1"]


@pytest.mark.parametrize("more", ["", "; a=1"])
def test_a_websocket_does_not_see_them_either(gateway: Gateway, more: str) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    ask = request("GET", "/api/tasks/ws", b"", **upgrade, Sec_WebSocket_Key=key, Cookie=SIGNED_IN + more)
    client = gateway.client(ask)
    assert client.answer().status == 101
    _, size = client._exactly(2)
    assert client._exactly(size) == (b"a=1" if more else b"none")
