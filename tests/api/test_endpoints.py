"""What the control plane answers, table by table."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from reconciler.api.application import ROUTERS
from reconciler.model.status import ServiceStatus
from tests.api.asking import BAD, GOOD, TOKEN, ask, client, get, openapi
from tests.api.platform import Still
from tests.api.statuses import condition, failing, service, sync

OPEN = {"/healthz", "/readyz", "/openapi.json"}
SIGNED = {"/webhooks/{provider}"}
"""Asks for no token but for a signature, and is not there before the operator has given a secret."""
KNOWN = {
    "{name}": "tasks",
    "{sync}": "1",
    "{token}": "0123456789ab",
    "{secret}": "STRIPE_KEY",
    "{release}": "tasks-1",
    "{run}": "tasks.tidy.20260102T0304Z",
    "{job}": "tidy",
    "{before}": "tasks-1",
    "{after}": "tasks-2",
    "{provider}": "github",
    "{receipt}": "1",
}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/tokens"): {"name": "ci", "scopes": ["read"]},
    ("PUT", "/v1/secrets/{secret}"): {"value": "a-new-value"},
}
ENDLESS = {"/v1/events"}
ANSWERS = {
    ("GET", "/v1/events"): 422,
    ("DELETE", "/v1/tokens/{token}"): 404,
    ("POST", "/webhooks/{provider}"): 404,
}


def small() -> Still:
    return Still(service("tasks"), service("notes"), failing("board"))


def many(count: int) -> Still:
    return Still(*(service(f"s{number:04}") for number in range(count)))


def endpoints() -> list[tuple[str, str]]:
    found = [(method.upper(), path) for path, item in openapi()["paths"].items() for method in item]
    found = [(method, path) for method, path in found if not path.startswith("/git/")]  # tests/api/test_git.py
    return [*found, ("GET", "/openapi.json")]


def filled(path: str) -> str:
    for name, value in KNOWN.items():
        path = path.replace(name, value)
    return path


@pytest.mark.parametrize(("method", "path"), endpoints())
def test_every_endpoint_wants_a_token_but_the_open_ones(method: str, path: str) -> None:
    async def scenario() -> None:
        async with client(small(), token=False) as asked:
            body = BODIES.get((method, path))
            none = await asked.request(method, filled(path), json=body)
            bad = await asked.request(method, filled(path), headers=BAD, json=body)
            # What goes on for ever is asked in a way that it refuses.
            end = {"after": "nothing"} if path in ENDLESS else None
            good = await asked.request(method, filled(path), headers=GOOD, json=body, params=end)
        assert good.status_code in (200, 201, 202, ANSWERS.get((method, path)))
        expected = good.status_code if path in OPEN | SIGNED else 401
        assert (none.status_code, bad.status_code) == (expected, expected)
        if expected == 401:
            assert bad.headers["content-type"] == "application/problem+json"
            assert bad.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in bad.text

    asyncio.run(scenario())


def test_the_matrix_knows_every_route() -> None:
    routes = {route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)}
    pages = {"/", "/services/{name}", "/services/{name}/compare", "/syncs", "/syncs/{sync}", "/events", "/docs"}
    hidden = {"/sign-in", "/sign-out", "/assets/{name}"} | pages
    assert {path for _, path in endpoints()} | hidden == {path for path in routes if not path.startswith("/git/")} | {
        "/openapi.json"
    }


def test_every_answer_has_a_model_in_the_openapi_document() -> None:
    document = openapi()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                for kind, content in response.get("content", {}).items():
                    # A service's own document is its own business.
                    if "json" in kind and not kind.endswith("ndjson") and not path.endswith("openapi.json"):
                        assert "$ref" in content["schema"], f"{method} {path} {status}"
    text = str(document)
    assert "HTTPValidationError" not in text.replace("components", "")


def test_readyz_waits_for_the_first_sync() -> None:
    platform = small()
    platform.is_ready = False
    answer = get(platform, "/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False})
    assert answer.headers["retry-after"] == "1"
    platform.is_ready = True
    assert get(platform, "/readyz").json() == {"ready": True}


def test_services_come_in_name_order_page_by_page() -> None:
    async def scenario(asked: httpx.AsyncClient) -> list[str]:
        names: list[str] = []
        after = ""
        while True:
            page = (await asked.get(f"/v1/services?limit=2{after}")).json()
            assert page["total"] == 5
            names += [item["name"] for item in page["items"]]
            if page["next"] is None:
                return names
            after = f"&after={page['next']}"

    assert ask(many(5), scenario) == [f"s000{number}" for number in range(5)]


def test_a_page_goes_on_after_a_service_that_is_gone() -> None:
    platform = many(5)
    del platform.all["s0002"]
    page = get(platform, "/v1/services?limit=2&after=s0002").json()
    assert [item["name"] for item in page["items"]] == ["s0003", "s0004"]
    assert page["next"] is None


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("condition=Stalled", ["board"]),
        ("condition=Ready", ["board", "notes", "tasks"]),
        ("condition=Ready=False", []),
        ("q=task", ["tasks"]),
        ("q=FOR", ["board", "notes", "tasks"]),
        ("q=o&condition=Stalled", ["board"]),
        ("q='; drop table services; --", []),
    ],
)
def test_services_can_be_filtered(query: str, names: list[str]) -> None:
    page = get(small(), f"/v1/services?{query}").json()
    assert [item["name"] for item in page["items"]] == names
    assert page["total"] == len(names)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/services?limit=0",
        "/v1/services?limit=-1",
        "/v1/services?limit=1000000000",
        "/v1/services?limit=ten",
        "/v1/services?after=%27%20OR%201=1",
        "/v1/services?condition=1=1",
        "/v1/syncs?limit=501",
        "/v1/syncs?after=../x",
        "/v1/services/tasks/releases?limit=0",
        "/v1/services/tasks/logs?since=yesterday",
        "/v1/services/tasks/logs?limit=0",
        "/v1/plan?ref=--upload-pack=x",
        "/v1/plan?ref=a%20b",
        "/v1/sync?retry=perhaps",
        f"/v1/services/{'x' * 64}",
    ],
)
def test_what_cannot_be_meant_is_422(path: str) -> None:
    method = "POST" if path.startswith("/v1/sync?") else "GET"
    answer = ask(small(), lambda asked: asked.request(method, path))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 422


@pytest.mark.parametrize(
    "path",
    [
        "/v1/services/nope",
        "/v1/services/nope/releases",
        "/v1/services/nope/logs",
        "/v1/services/nope/logs?follow=true",
        "/v1/syncs/nope",
        "/v1/plan?ref=unknown",
        "/nope",
    ],
)
def test_what_is_not_there_is_a_problem_document(path: str) -> None:
    answer = get(small(), path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Not Found"


def test_one_service_is_told_in_full() -> None:
    told = get(small(), "/v1/services/board").json()
    assert [each["reason"] for each in told["conditions"]] == ["Live", "ImportFailed"]
    assert told["problems"][0]["file"] == "services/board/router.py"
    assert told["live"]["id"] == "board-1"


def test_a_sync_is_accepted_at_once_and_can_be_followed() -> None:
    platform = small()

    async def scenario(asked: httpx.AsyncClient) -> None:
        accepted = await asked.post("/v1/sync?retry=true")
        assert accepted.status_code == 202
        assert accepted.json()["state"] == "waiting"
        again = await asked.get(f"/v1/syncs/{accepted.json()['id']}")
        assert again.json() == accepted.json()

    ask(platform, scenario)
    assert platform.asked == [("person", "admin", True)]


@pytest.mark.parametrize(("path", "ids"), [("/v1/syncs", ""), ("/v1/services/tasks/releases", "tasks-")])
def test_histories_are_newest_first_page_by_page(path: str, ids: str) -> None:
    async def scenario(asked: httpx.AsyncClient) -> list[str]:
        seen, after = [], ""
        while True:
            page = (await asked.get(f"{path}?limit=1{after}")).json()
            seen += [item["id"] for item in page["items"]]
            if page["next"] is None:
                return seen
            after = f"&after={page['next']}"

    platform = small()
    platform.past = [sync(2), sync(1)]
    assert ask(platform, scenario) == [f"{ids}2", f"{ids}1"]


def test_a_plan_says_why() -> None:
    planned: dict[str, Any] = get(small(), "/v1/plan").json()
    assert planned["actions"][0]["why"] == "code changed"


def test_the_condition_filter_needs_the_status_it_names() -> None:
    platform = Still(service("one", condition("Ready", "False", "StartFailed", "No.")), service("two"))
    page = get(platform, "/v1/services?condition=Ready=False").json()
    assert [item["name"] for item in page["items"]] == ["one"]


def test_runs_are_told_and_begun() -> None:
    async def scenario() -> None:
        async with client(small()) as asked:
            told = (await asked.get("/v1/services/tasks/runs", params={"job": "tidy"})).json()
            assert (told["total"], told["items"][0]["late"]) == (1, 0.25)
            assert (await asked.get("/v1/services/tasks/runs", params={"job": "other"})).json()["items"] == []
            # What is gone keeps its history; what never was has none.
            assert (await asked.get("/v1/services/gone/runs")).status_code == 200
            assert (await asked.get("/v1/services/never/runs")).status_code == 404
            begun = await asked.post("/v1/services/tasks/cron/tidy/run")
            assert (begun.status_code, begun.json()["state"]) == (202, "running")
            assert (await asked.get(f"/v1/services/tasks/runs/{begun.json()['id']}")).json()["state"] == "done"
            assert (await asked.get("/v1/services/tasks/runs/tasks.other")).status_code == 404
            assert (await asked.post("/v1/services/tasks/cron/nothing/run")).status_code == 404
            assert (await asked.post("/v1/services/red/cron/tidy/run")).status_code == 409

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/status", "GET"),
        ("/v1/tokens", "GET, POST"),
        ("/v1/secrets/STRIPE_KEY", "DELETE, GET, PUT"),
        ("/v1/secrets-key/rotate", "POST"),
    ],
)
def test_another_method_is_told_which_there_are(path: str, methods: str) -> None:
    answer = ask(small(), lambda asked: asked.options(path))
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/syncs", "/v1/webhooks", "/v1/audit"])
@pytest.mark.parametrize("after", ["x", "-1", "1e3", "9" * 19, "%D9%A3"])
def test_where_a_numbered_list_goes_on_is_a_number(path: str, after: str) -> None:
    assert get(small(), f"{path}?after={after}").status_code == 422


@pytest.mark.parametrize(("query", "told"), [("limit=2", 2), ("limit=2&condition=Ready", 2), ("limit=2&q=nothing", 0)])
def test_only_what_is_shown_of_many_services_is_told(query: str, told: int) -> None:
    class Counting(Still):
        asked_for = 0

        def service(self, name: str) -> ServiceStatus | None:
            self.asked_for += 1
            return super().service(name)

        def services(self) -> tuple[()]:
            raise AssertionError("all of them are told for a page")

    platform = Counting(*(service(f"s{number:04}") for number in range(500)))
    get(platform, f"/v1/services?{query}").raise_for_status()
    assert platform.asked_for == told
