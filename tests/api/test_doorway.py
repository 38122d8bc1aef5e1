"""Who is let in, and on what terms."""

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from reconciler.api import Access, build
from reconciler.api.doorway import Doorway
from reconciler.control import attention
from tests.api.asking import BAD, GOOD, TOKEN, ask, client, get
from tests.api.platform import Still
from tests.api.statuses import service

PLATFORM = Still(service("tasks"))


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8001", "127.0.0.1:8001", "[::1]:8001", "10.1.2.3", "deploy.example"]
)
def test_a_host_that_names_this_server_is_answered(host: str) -> None:
    async def scenario() -> None:
        async with client(PLATFORM, access=Access(TOKEN, hosts=("deploy.example",))) as asked:
            assert (await asked.get("/v1/status", headers={"Host": host})).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:8001",
        "",
        "localhost@evil.example",
        "127.0.0.1.evil.example",
    ],
)
@pytest.mark.parametrize("path", ["/v1/status", "/healthz", "/openapi.json"])
def test_a_foreign_host_is_turned_away(host: str, path: str) -> None:
    answer = get(PLATFORM, path, Host=host)
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


def test_two_hosts_are_turned_away() -> None:
    headers = [("Host", "localhost"), ("Host", "localhost"), *GOOD.items()]
    assert ask(PLATFORM, lambda asked: asked.get("/v1/status", headers=headers)).status_code == 421


def test_every_answer_keeps_browsers_from_guessing_and_allows_no_other_origin() -> None:
    for path in ("/healthz", "/v1/status", "/nope"):
        answer = get(PLATFORM, path, Origin="http://evil.example")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] in ("no-store", "private, no-cache")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("headers", [GOOD, BAD, {}])
def test_an_announced_body_too_large_is_refused_before_the_token_is_looked_at(headers: dict[str, str]) -> None:
    async def scenario() -> httpx.Response:
        async with client(PLATFORM, token=False) as asked:
            return await asked.post("/v1/sync", content=b"x" * (1 << 20) + b"x", headers=headers)

    assert asyncio.run(scenario()).status_code == 413


def test_a_bad_token_is_limited_per_address_and_a_good_one_still_works() -> None:
    now = 0.0
    access = Access(TOKEN, clock=lambda: now)

    async def scenario() -> None:
        nonlocal now
        async with client(PLATFORM, token=False, access=access) as asked:
            answers = [(await asked.get("/v1/status", headers=BAD)).status_code for _ in range(100)]
            assert answers == [401] * 20 + [429] * 80
            limited = await asked.get("/v1/status", headers=BAD)
            assert limited.headers["retry-after"] == "61"
            assert (await asked.get("/v1/status", headers=GOOD)).status_code == 200
            assert (await asked.get("/v1/status")).status_code == 401
        other = httpx.ASGITransport(build(PLATFORM, access), client=("10.0.0.9", 1))
        async with httpx.AsyncClient(transport=other, base_url="http://localhost") as asked:
            assert (await asked.get("/v1/status", headers=BAD)).status_code == 401
        now = 60.0
        async with client(PLATFORM, token=False, access=access) as asked:
            assert (await asked.get("/v1/status", headers=BAD)).status_code == 401

    asyncio.run(scenario())


def test_the_memory_of_failures_is_bounded() -> None:
    access = Access(TOKEN)
    for number in range(10_000):
        assert access._failures.note(f"10.0.{number >> 8}.{number & 255}") is None
    assert len(access._failures._seen) == 4096


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Basic cmNsOnJjbA==",
        "bearer",
        "Bearer rcl_\xff",
        f"Bearer {TOKEN} x",
        "Bearer " + "a" * 10_000,
    ],
)
def test_a_malformed_authorization_is_401(authorization: str) -> None:
    async def scenario() -> httpx.Response:
        async with client(PLATFORM, token=False) as asked:
            return await asked.get("/v1/status", headers={b"Authorization": authorization.encode("latin-1")})

    assert asyncio.run(scenario()).status_code == 401


def test_a_bug_is_logged_whole_and_told_without_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Still):
        def names(self) -> tuple[()]:
            raise RuntimeError("the secret is 1234")

    answer = get(Broken(), "/v1/services", **{"X-Request-Id": "asked-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "asked-1")
    assert getattr(caplog.records[-1], "request", None) == "asked-1"
    assert "1234" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "the secret is 1234" in caplog.text


def test_work_rests_for_whoever_asks_until_he_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "SOON", 60.0)
    rests: list[bool] = []

    def look() -> None:
        rests.append(next(attention._pauses(), None) is not None)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        look()
        if scope["path"] == "/bug":
            raise ValueError("a bug")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def scenario() -> None:
        transport = httpx.ASGITransport(Doorway(app, ()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asked:
            for path in ("/", "/bug"):
                await asked.get(path)
                look()

    asyncio.run(scenario())
    assert rests == [True, False, True, False]
