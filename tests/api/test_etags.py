"""Asking again costs nothing when nothing has changed."""

import asyncio

import httpx
import pytest

from reconciler.api.etags import is_known
from tests.api.asking import ask, client, openapi
from tests.api.platform import Still
from tests.api.statuses import sync
from tests.api.test_endpoints import endpoints, filled, small

PLAIN = {"/v1/events", "/v1/logs", "/v1/services/{name}/logs", "/metrics"}


def readable() -> list[str]:
    return [path for method, path in endpoints() if method == "GET" and path not in PLAIN]


@pytest.mark.parametrize("path", readable())
def test_an_answer_that_is_known_is_not_sent_again(path: str) -> None:
    async def scenario(asked: httpx.AsyncClient) -> None:
        first = await asked.get(filled(path))
        assert first.status_code == 200
        assert first.headers["cache-control"] == "private, no-cache"
        again = await asked.get(filled(path), headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert not {"content-length", "content-type"} & set(again.headers)
        assert again.headers["vary"] == "Authorization, Cookie"

    ask(small(), scenario)


def test_what_changed_is_sent_under_another_name() -> None:
    platform = small()

    async def scenario(asked: httpx.AsyncClient) -> None:
        before = (await asked.get("/v1/syncs")).headers["etag"]
        platform.past.insert(0, sync(9))
        after = await asked.get("/v1/syncs", headers={"If-None-Match": before})
        assert (after.status_code, after.json()["items"][0]["id"]) == (200, "9")
        assert after.headers["etag"] != before

    ask(platform, scenario)


def test_equal_answers_of_two_servers_have_one_name() -> None:
    names = {ask(small(), lambda asked: asked.get("/v1/services")).headers["etag"] for _ in range(2)}
    assert len(names) == 1


@pytest.mark.parametrize(
    ("known", "knows"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", W/"c","a"', True),
        ("*", True),
        (" * ", True),
        ("", False),
        ('"b"', False),
        ('"aa"', False),
        ("a", False),
        ('"b, a"', False),
        ('"*"', False),
        ('"' * 10_001, False),
    ],
)
def test_the_header_is_read_as_the_standard_has_it(known: str, knows: bool) -> None:
    assert is_known('"a"', known) is knows


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/services/nope"),
        ("GET", "/v1/services?limit=0"),
        ("GET", "/v1/services/tasks/logs"),
        ("GET", "/"),
        ("POST", "/v1/sync"),
        ("POST", "/v1/services/tasks/test"),
    ],
)
def test_errors_streams_pages_and_what_was_done_have_no_name(method: str, path: str) -> None:
    answer = ask(small(), lambda asked: asked.request(method, path, headers={"If-None-Match": "*"}))
    assert answer.status_code != 304
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


def test_a_name_opens_no_door() -> None:
    async def scenario() -> None:
        async with client(small(), token=False) as asked:
            assert (await asked.get("/v1/services", headers={"If-None-Match": "*"})).status_code == 401

    asyncio.run(scenario())


def test_a_bug_in_the_middle_is_still_told() -> None:
    class Broken(Still):
        def status(self) -> None:  # type: ignore[override]
            raise RuntimeError("a bug")

    answer = ask(Broken(), lambda asked: asked.get("/v1/status"))
    assert (answer.status_code, answer.json()["title"]) == (500, "Internal Server Error")


def test_the_document_says_which_answers_have_a_name() -> None:
    document = openapi()
    named = {path for path, item in document["paths"].items() if "304" in item.get("get", {}).get("responses", {})}
    assert named == set(readable()) - {"/openapi.json"}
