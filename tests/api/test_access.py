"""Who may do what: every endpoint with every scope, tokens for some services, browsers, and what is written down."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from reconciler.api import Access, build
from reconciler.control.tokens import Tokens
from reconciler.model.access import SCOPES, Caller, Scope
from reconciler.model.refusal import Refusal
from tests.api.asking import GOOD, TOKEN, client, openapi
from tests.api.platform import Still
from tests.api.statuses import service
from tests.api.test_endpoints import BODIES, ENDLESS, filled

ADMIN = Caller("admin", SCOPES)
ENOUGH: dict[str, set[Scope]] = {
    "read": {"read", "deploy", "admin"},
    "deploy": {"deploy", "admin"},
    "secrets": {"secrets", "admin"},
    "admin": {"admin"},
}
HERE = {"Origin": "http://localhost:8001"}
ELSEWHERE = {"Origin": "http://localhost:8000"}


def operations() -> list[tuple[str, str, str]]:
    return [
        (method.upper(), path, operation.get("x-scope", "open"))
        for path, item in openapi()["paths"].items()
        for method, operation in item.items()
        if not path.startswith("/git/")  # tests/api/test_git.py asks as git does
    ]


def play(scenario: Callable[[Still, httpx.AsyncClient], Awaitable[None]], *names: str) -> None:
    async def run() -> None:
        platform = Still(*(service(name) for name in names or ("tasks", "notes")))
        async with client(platform, token=False) as asked:
            await scenario(platform, asked)

    asyncio.run(run())


async def token(platform: Still, *scopes: Scope, services: list[str] | None = None) -> dict[str, str]:
    made = await platform.keys.create("somebody", scopes, services, None, ADMIN)
    return {"Authorization": f"Bearer {made.token}"}


def test_only_the_probes_and_what_is_signed_are_open() -> None:
    assert {path for _, path, needed in operations() if needed == "open"} == {
        "/healthz",
        "/readyz",
        "/webhooks/{provider}",
    }


@pytest.mark.parametrize(("method", "path", "needed"), [one for one in operations() if one[2] != "open"])
def test_every_endpoint_opens_to_its_scope_and_to_no_other(method: str, path: str, needed: str) -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        for given in sorted(SCOPES):
            body = BODIES.get((method, path))
            carried = await token(platform, given)
            end = {"after": "nothing"} if path in ENDLESS else None
            answer = await asked.request(method, filled(path), headers=carried, json=body, params=end)
            assert (answer.status_code == 403) is (given not in ENOUGH[needed]), (given, answer.text)
            assert answer.status_code != 401

    play(scenario)


def test_a_token_for_one_service_reaches_nothing_else() -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        only = await token(platform, "deploy", services=["tasks"])
        assert (await asked.post("/v1/services/tasks/restart", headers=only)).status_code == 200
        refused = await asked.post("/v1/services/notes/restart", headers=only)
        assert (refused.status_code, refused.json()["detail"]) == (403, "this token is for tasks only")
        for path in ("/v1/status", "/v1/syncs", "/v1/syncs/1", "/v1/plan", "/v1/services/notes"):
            assert (await asked.get(path, headers=only)).status_code == 403, path
        assert (await asked.post("/v1/sync", headers=only)).status_code == 403
        listed = (await asked.get("/v1/services", headers=only)).json()
        assert ([each["name"] for each in listed["items"]], listed["total"]) == (["tasks"], 1)

    play(scenario)


def test_nobody_gives_away_more_than_he_has() -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        only = await token(platform, "admin", services=["tasks"])
        wish = {"name": "more", "scopes": ["read"], "services": ["notes"]}
        assert (await asked.post("/v1/tokens", headers=only, json=wish)).status_code == 403
        made = await asked.post("/v1/tokens", headers=GOOD, json=wish)
        assert made.status_code == 201
        assert made.json()["services"] == ["notes"]

    play(scenario)


def test_a_token_ends_when_it_expires_and_when_it_is_revoked() -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        clock = [now]
        keys = platform.keys = Tokens(platform.keys._journal, lambda: clock[0])
        short = await keys.create("short", {"read"}, None, timedelta(hours=1), ADMIN)
        long = await keys.create("long", {"read"}, None, None, ADMIN)
        assert keys.recognise(short.token) and keys.recognise(long.token)
        clock[0] = now + timedelta(minutes=59)
        assert keys.recognise(short.token)
        clock[0] = now + timedelta(hours=1)
        assert keys.recognise(short.token) is None
        assert [each.state for each in keys.listed()] == ["expired", "good"]
        await keys.revoke(long.id)
        assert keys.recognise(long.token) is None
        assert [each.state for each in keys.listed()] == ["expired", "revoked"]

    play(scenario)


def test_what_was_made_with_a_token_goes_when_it_is_revoked() -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        keys = platform.keys
        kept = await token(platform, "read")
        parent = await keys.create("alice", {"admin"}, None, None, ADMIN)
        wish = {"name": "ci", "scopes": ["admin"]}
        child = await asked.post("/v1/tokens", headers={"Authorization": f"Bearer {parent.token}"}, json=wish)
        signed = await asked.post("/sign-in", data={"token": child.json()["token"]}, headers=HERE)
        assert (signed.status_code, (await asked.get("/v1/status")).status_code) == (303, 200)
        assert (await asked.delete(f"/v1/tokens/{parent.id}", headers=GOOD)).status_code == 200
        assert (await asked.get("/v1/status")).status_code == 401, "the session of the child"
        assert keys.recognise(child.json()["token"]) is None
        assert [each.state for each in keys.listed()] == ["good", "revoked", "revoked", "revoked"]
        assert (await asked.get("/v1/status", headers=kept)).status_code == 200

    play(scenario)


def test_nothing_made_with_a_token_lasts_longer_than_it() -> None:
    async def scenario(platform: Still, _: httpx.AsyncClient) -> None:
        clock = [datetime(2026, 1, 1, tzinfo=UTC)]
        keys = platform.keys = Tokens(platform.keys._journal, lambda: clock[0])
        short = keys.recognise((await keys.create("short", {"admin"}, None, timedelta(hours=1), ADMIN)).token)
        job = Caller("a job", SCOPES, until=clock[0] + timedelta(minutes=5))
        assert short is not None
        sessions = [await keys.sign_in(caller) for caller in (short, job, ADMIN)]
        child = await keys.create("child", {"read"}, None, None, short)
        with pytest.raises(Refusal, match="cannot last longer"):
            await keys.create("child", {"read"}, None, timedelta(hours=2), short)
        assert child.expires_at == clock[0] + timedelta(hours=1)
        clock[0] += timedelta(minutes=6)
        assert [keys.recognise(session) is not None for session in sessions] == [True, False, True]
        assert (keys.knows(short), keys.knows(job)) == (True, False)
        clock[0] += timedelta(hours=1)
        assert [keys.recognise(session) is not None for session in sessions] == [False, False, True]

    play(scenario)


def test_a_token_that_is_revoked_while_it_makes_another_takes_it_along() -> None:
    async def scenario(platform: Still, _: httpx.AsyncClient) -> None:
        keys = platform.keys
        made = await keys.create("alice", {"admin"}, None, None, ADMIN)
        alice = keys.recognise(made.token)
        assert alice is not None
        writing, written = asyncio.Event(), platform.book.add_token

        async def slow(*token: Any, **facts: Any) -> None:
            writing.set()
            await revoked.wait()
            await written(*token, **facts)

        revoked = asyncio.Event()
        platform.book.add_token = slow  # type: ignore[method-assign]
        making = asyncio.create_task(keys.create("child", {"read"}, None, None, alice))
        await writing.wait()
        await keys.revoke(made.id)
        revoked.set()
        assert keys.recognise((await making).token) is None
        with pytest.raises(Refusal, match="worth nothing"):
            await keys.create("another", {"read"}, None, None, alice)

    play(scenario)


@pytest.mark.parametrize(
    "text", ["", "rcl_", "rcl_0123456789ab_", "rcl_0123456789ab_" + "x" * 43, "rcl_" + "é" * 56, "x" * 100_000]
)
def test_what_was_never_made_is_nobody(text: str) -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        made = await platform.keys.create("somebody", {"read"}, None, None, ADMIN)
        assert platform.keys.recognise(text) is None
        assert platform.keys.recognise(made.token[:-1] + ("A" if made.token[-1] != "A" else "B")) is None

    play(scenario)


def test_the_secret_of_a_token_is_told_once_and_kept_nowhere() -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        made = (await asked.post("/v1/tokens", headers=GOOD, json=BODIES["POST", "/v1/tokens"])).json()
        secret = made["token"][-43:]
        listed = await asked.get("/v1/tokens", headers=GOOD)
        assert made["id"] in listed.text
        assert secret not in listed.text
        assert secret not in repr(platform.keys._rows)
        assert secret not in repr(platform.book.lines)

    play(scenario)


def test_a_password_is_a_token_too() -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        carried = (await token(platform, "read"))["Authorization"].removeprefix("Bearer ")
        basic = base64.b64encode(f"anybody:{carried}".encode()).decode()
        assert (await asked.get("/v1/status", headers={"Authorization": f"Basic {basic}"})).status_code == 200
        for odd in ("Basic", "Basic !!!", "Basic " + base64.b64encode(b"no colon").decode(), "Digest x"):
            assert (await asked.get("/v1/status", headers={"Authorization": odd})).status_code == 401

    play(scenario)


# Browsers


async def sign_in(asked: httpx.AsyncClient) -> httpx.Response:
    return await asked.post("/sign-in", data={"token": TOKEN}, headers=HERE)


def test_a_browser_signs_in_with_a_token_and_out_again() -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        assert "Access token" in (await asked.get("/sign-in")).text
        answer = await sign_in(asked)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("reconciler_session_8001=rcl_")
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert TOKEN not in cookie
        assert (await asked.get("/v1/status")).status_code == 200
        (session,) = platform.keys.listed()
        assert (session.kind, session.name) == ("session", "admin")
        assert (await asked.post("/sign-out", headers=HERE)).status_code == 303
        assert platform.keys.listed()[0].state == "revoked"
        asked.cookies.set("reconciler_session_8001", cookie.partition("=")[2].partition(";")[0])
        assert (await asked.get("/v1/status")).status_code == 401

    play(scenario)


@pytest.mark.parametrize(
    "planted",
    [
        "reconciler_session_8001=x; {own}",
        "{own}; reconciler_session_8001=rcl_0123456789ab_planted",
        "reconciler_session_8001=; {own}; reconciler_session=y; reconciler_session_8002=z",
    ],
)
def test_what_a_service_on_the_same_host_plants_beside_a_session_changes_nothing(planted: str) -> None:
    async def scenario(_: Still, asked: httpx.AsyncClient) -> None:
        own = (await sign_in(asked)).headers["set-cookie"].partition(";")[0]
        asked.cookies.clear()
        beside = {"Cookie": planted.format(own=own)}
        assert (await asked.get("/v1/status", headers=beside)).status_code == 200
        alone = {"Cookie": planted.format(own="a=1")}
        assert (await asked.get("/v1/status", headers=alone)).status_code == 401
        assert (await asked.post("/sign-out", headers={**beside, **HERE})).status_code == 303
        assert (await asked.get("/v1/status", headers=beside)).status_code == 401

    play(scenario)


def test_a_wrong_token_leads_back_to_the_form() -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        answer = await asked.post("/sign-in", data={"token": "rcl_<b>"}, headers=HERE)
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text
        assert "set-cookie" not in answer.headers
        assert "<b>" not in answer.text

    play(scenario)


def test_the_printed_link_works_once() -> None:
    async def run() -> None:
        platform = Still(service("tasks"))
        app = build(platform, Access(TOKEN, recognisers=[platform.keys]))
        code = app.state.sign_in_code.text
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8001") as asked:
            assert (await asked.get("/sign-in", params={"code": "guess"})).status_code == 403
            assert (await asked.get("/sign-in", params={"code": code})).status_code == 303
            assert (await asked.get("/v1/status")).status_code == 200
            assert (await asked.get("/sign-in", params={"code": code})).status_code == 403

    asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (HERE, 202),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({}, 403),
        (ELSEWHERE, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://localhost:8001"}, 202),
        ({"Origin": "http://localhost"}, 403),
        ({**ELSEWHERE, "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
    ],
)
def test_a_session_changes_things_from_our_own_pages_only(headers: dict[str, str], status: int) -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        await sign_in(asked)
        assert (await asked.post("/v1/sync", headers=headers)).status_code == status
        assert len(platform.asked) == (1 if status == 202 else 0)

    play(scenario)


@pytest.mark.parametrize("headers", [{}, ELSEWHERE, {"Origin": "https://evil.example"}])
def test_nobody_is_signed_in_or_out_from_elsewhere(headers: dict[str, str]) -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        answer = await asked.post("/sign-in", data={"token": TOKEN}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert (await asked.post("/sign-out", headers=headers)).status_code == 403

    play(scenario)


def test_a_token_on_purpose_needs_no_origin() -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        assert (await asked.post("/v1/sync", headers={**GOOD, **ELSEWHERE})).status_code == 202

    play(scenario)


# The audit log


def test_every_change_is_written_down_with_who_asked_and_how_it_was_answered() -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        carried = await token(platform, "deploy", services=["tasks"])
        await asked.post("/v1/services/tasks/restart", headers=carried)
        await asked.post("/v1/services/notes/restart", headers=carried)
        await asked.get("/v1/services/tasks", headers=carried)
        await asked.post("/v1/sync", headers={"Authorization": "Bearer rcl_guess"})
        log = (await asked.get("/v1/audit", headers=GOOD)).json()
        told = [(line["actor"], line["action"], line["service"], line["status"]) for line in log["items"]]
        assert told == [
            ("somebody", "POST /v1/services/notes/restart", "notes", 403),
            ("somebody", "POST /v1/services/tasks/restart", "tasks", 200),
        ]

    play(scenario)


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"name": "x"},
        {"name": "x", "scopes": []},
        {"name": "", "scopes": ["read"]},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "scopes": ["read"], "services": []},
        {"name": "x", "scopes": ["read"], "services": ["../x"]},
        {"name": "x", "scopes": ["read"], "lasts": 1},
        {"name": "x", "scopes": ["read"], "colour": "red"},
    ],
)
def test_a_token_that_cannot_be_meant_is_422(wish: dict[str, Any]) -> None:
    async def scenario(platform: Still, asked: httpx.AsyncClient) -> None:
        answer = await asked.post("/v1/tokens", headers=GOOD, json=wish)
        assert answer.status_code == 422
        assert not answer.json()["detail"].startswith("body."), "who asks on the command line has no body"
        assert platform.keys.listed() == []

    play(scenario)


def test_metrics_need_a_token_unless_they_are_open() -> None:
    async def scenario() -> None:
        for is_open, status in ((False, 401), (True, 200)):
            app = build(Still(service("tasks")), Access(TOKEN), open_metrics=is_open)
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as stranger:
                assert (await stranger.get("/metrics")).status_code == status
                assert (await stranger.get("/v1/status")).status_code == 401

    asyncio.run(scenario())
