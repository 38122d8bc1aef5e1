"""The push remote's door: who comes in, with what, and how the others are told."""

import asyncio
from base64 import b64encode

import httpx
import pytest

from reconciler.model.access import SCOPES, Caller
from reconciler.source.backend import Call, Client
from tests.api.asking import GOOD, TOKEN, ask, client
from tests.api.platform import Still
from tests.api.statuses import service

FETCH, PUSH = "git-upload-pack", "git-receive-pack"
ADMIN = Caller("admin", SCOPES)
REFS = "/git/services.git/info/refs?service="


class Answering:
    """A remote that notes what it is asked, and answers with what it was sent."""

    name = "services"
    elsewhere = ""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def serve(self, call: Call, client: Client) -> None:
        self.calls.append(call)
        body = b"".join([chunk async for chunk in client.body()])
        await client.begin(200, [(b"content-type", b"application/x-git"), (b"cache-control", b"no-cache")])
        await client.put(body or b"nothing")


def hosting() -> tuple[Still, Answering]:
    platform, remote = Still(service("tasks")), Answering()
    platform.remote = remote
    return platform, remote


def basic(password: str, user: str = "anybody") -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


def sending(side: str, **more: str) -> dict[str, str]:
    return {**basic(TOKEN), "Content-Type": f"application/x-{side}-request", **more}


async def post(asked: httpx.AsyncClient, side: str, headers: dict[str, str], body: bytes = b"0000") -> httpx.Response:
    return await asked.post(f"/git/services.git/{side}", content=body, headers=headers)


def refusal(platform: Still, path: str, headers: dict[str, str]) -> tuple[int, str]:
    async def scenario() -> httpx.Response:
        async with client(platform, token=False) as asked:
            return await asked.get(path, headers=headers)

    answer = asyncio.run(scenario())
    assert answer.headers["content-type"].startswith("text/plain"), "or git does not show it"
    return answer.status_code, answer.text


@pytest.mark.parametrize("headers", [{}, basic(""), basic("rcl_guessed"), {"Authorization": "Basic !!"}])
def test_whoever_comes_without_a_good_token_is_asked_for_one(headers: dict[str, str]) -> None:
    platform, remote = hosting()

    async def scenario() -> None:
        async with client(platform, token=False) as asked:
            for side in (FETCH, PUSH):
                for answer in (await asked.get(REFS + side, headers=headers), await post(asked, side, headers)):
                    assert answer.status_code == 401
                    assert answer.headers["www-authenticate"].startswith("Basic realm=")

    asyncio.run(scenario())
    assert not remote.calls


def test_a_browsers_session_is_no_way_in() -> None:
    platform, _ = hosting()
    assert refusal(platform, REFS + FETCH, {"Cookie": f"reconciler_session_8001={TOKEN}"})[0] == 401


def test_reading_takes_read_and_pushing_takes_deploy() -> None:
    platform, _ = hosting()

    async def scenario() -> None:
        async with client(platform, token=False) as asked:
            for given in sorted(SCOPES):
                made = await platform.keys.create(given, [given], None, None, ADMIN)
                headers = basic(made.token)
                for side, enough in ((FETCH, {"read", "deploy", "admin"}), (PUSH, {"deploy", "admin"})):
                    answers = [
                        await asked.get(REFS + side, headers=headers),
                        await post(asked, side, {**sending(side), **headers}),
                    ]
                    assert {answer.status_code for answer in answers} == {200 if given in enough else 403}, given

    asyncio.run(scenario())


def test_a_token_for_some_services_pushes_nothing() -> None:
    platform, _ = hosting()

    async def scenario() -> httpx.Response:
        async with client(platform, token=False) as asked:
            only = await platform.keys.create("ci", ["deploy"], ["tasks"], None, ADMIN)
            return await asked.get(REFS + PUSH, headers=basic(only.token))

    answer = asyncio.run(scenario())
    assert (answer.status_code, "for some services only" in answer.text) == (403, True)


def test_another_repository_is_not_here_and_says_which_is() -> None:
    platform, _ = hosting()
    status, text = refusal(platform, f"/git/other.git/info/refs?service={PUSH}", basic(TOKEN))
    assert (status, text) == (404, "There is no other.git here; there is services.git.\n")


def test_where_another_repository_is_followed_a_push_is_told_where_to_go() -> None:
    status, text = refusal(Still(), f"/git/any.git/info/refs?service={PUSH}", basic(TOKEN))
    assert status == 403
    assert "https://git.example.com/services.git" in text


@pytest.mark.parametrize(
    "path", ["/git/services.git/HEAD", "/git/services.git/objects/info/packs", "/git/services.git", "/git/../x"]
)
def test_nothing_but_the_protocol_is_answered(path: str) -> None:
    platform, remote = hosting()
    assert ask(platform, lambda asked: asked.get(path)).status_code == 404
    assert not remote.calls


def test_what_git_says_about_itself_is_passed_on_only_in_known_forms() -> None:
    platform, remote = hosting()

    async def scenario() -> None:
        async with client(platform) as asked:
            headers = {**GOOD, "Git-Protocol": "version=2"}
            assert (await asked.get(REFS + FETCH, headers=headers)).headers["cache-control"] == "no-cache"
            assert (await asked.get(REFS + "git-evil", headers=headers)).status_code == 422
            headers["Git-Protocol"] = "version=2; rm -rf"
            await asked.get(REFS + FETCH, headers=headers)
            assert (await post(asked, PUSH, sending(PUSH, **{"Content-Encoding": "br"}))).status_code == 415
            assert (await post(asked, PUSH, sending(FETCH))).status_code == 415
            answer = await post(asked, PUSH, sending(PUSH, **{"Content-Encoding": "gzip"}), b"x" * 3_000_000)
            assert answer.content == b"x" * 3_000_000, "larger than any other body"

    asyncio.run(scenario())
    first, second, third = remote.calls
    assert (first.service, first.query, first.protocol) == ("info/refs", f"service={FETCH}", "version=2")
    assert second.protocol == ""
    assert (third.service, third.gzipped, third.content_length, third.user) == (PUSH, True, 3_000_000, "admin")


def test_what_is_announced_as_more_than_anybody_takes_is_refused_at_once() -> None:
    platform, remote = hosting()

    async def scenario() -> httpx.Response:
        async with client(platform) as asked:
            return await post(asked, PUSH, sending(PUSH, **{"Content-Length": str(3 << 30)}))

    assert asyncio.run(scenario()).status_code == 413
    assert not remote.calls


def test_a_hook_hears_line_by_line_what_a_sync_does() -> None:
    answer = ask(Still(), lambda asked: asked.post("/v1/sync?tell=live"))
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
    assert answer.text == "admin waits until live\ndone\n"
    assert ask(Still(), lambda asked: asked.post("/v1/sync?tell=never")).status_code == 422
