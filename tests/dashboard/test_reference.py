"""One reference out of many documents: names kept apart, paths as they answer, and a bad one harms no other."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from reconciler.api.contracts import LARGEST, Contract, merged
from reconciler.model.access import Caller
from reconciler.model.names import ServiceName
from tests.api.asking import client, get, openapi
from tests.api.platform import Still
from tests.api.statuses import service

OWN: dict[str, Any] = openapi()
AT = "http://services.example:8000"
TASKS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "tasks", "version": "1"},
    "servers": [{"url": "http://elsewhere.example"}],
    "security": [{"key": []}],
    "paths": {
        "/": {
            "get": {
                "operationId": "listed",
                "tags": ["own"],
                "servers": [{"url": "http://elsewhere.example"}],
                "responses": {
                    "200": {
                        "description": "All",
                        "content": {
                            "application/json": {
                                "schema": {"$ref": "#/components/schemas/Task"},
                                "example": {"$ref": "#/components/schemas/Task"},
                            }
                        },
                    }
                },
            },
            "post": {"security": [], "responses": {"204": {"description": "Done"}}},
        }
    },
    "components": {
        "schemas": {
            "Task": {
                "properties": {
                    "example": {"$ref": "#/components/schemas/Note/properties/text"},
                    "default": {"oneOf": [{"$ref": "#/components/schemas/Note"}]},
                },
                "discriminator": {"propertyName": "kind", "mapping": {"a": "Note", "b": "#/components/schemas/Note"}},
                "example": {"properties": {"$ref": "#/components/schemas/Task"}},
            },
            "Note": {"properties": {"text": {"type": "string"}}},
        },
        "securitySchemes": {"key": {"type": "apiKey", "name": "key", "in": "header"}},
    },
}


def together(*contracts: tuple[str, Any]) -> dict[str, Any]:
    return merged(OWN, [Contract(name, f"/api/{name}/", None, told) for name, told in contracts], AT)


def about(document: dict[str, Any], tag: str) -> str:
    return str(next(each["description"] for each in document["tags"] if each["name"] == tag))


def references(node: Any) -> set[str]:
    """Every one that a reader would follow."""
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    here = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return here.union(*(references(value) for value in node.values()))


def test_a_service_stands_where_it_answers_under_names_of_its_own() -> None:
    document = together(("tasks", TASKS))
    path = document["paths"]["/api/tasks/"]
    assert path["servers"] == [{"url": AT}]
    assert (path["get"]["operationId"], path["get"]["tags"]) == ("tasks_listed", ["tasks"])
    assert "servers" not in path["get"]
    media = path["get"]["responses"]["200"]["content"]["application/json"]
    assert media["schema"] == {"$ref": "#/components/schemas/tasks_Task"}
    assert media["example"] == {"$ref": "#/components/schemas/Task"}, "data is left as it is"
    assert document["paths"]["/v1/status"]["servers"] == [{"url": "/"}]


def test_what_points_at_a_component_follows_it() -> None:
    task = together(("tasks", TASKS))["components"]["schemas"]["tasks_Task"]
    assert task["properties"]["example"] == {"$ref": "#/components/schemas/tasks_Note/properties/text"}
    assert task["properties"]["default"] == {"oneOf": [{"$ref": "#/components/schemas/tasks_Note"}]}
    assert task["discriminator"]["mapping"] == {"a": "tasks_Note", "b": "#/components/schemas/tasks_Note"}
    assert task["example"] == {"properties": {"$ref": "#/components/schemas/Task"}}


def test_each_operation_keeps_the_key_that_it_asks_for() -> None:
    document = together(("tasks", TASKS))
    path = document["paths"]["/api/tasks/"]
    assert (path["get"]["security"], path["post"]["security"]) == ([{"tasks_key": []}], [])
    assert "tasks_key" in document["components"]["securitySchemes"]


def test_two_services_with_the_same_names_do_not_meet() -> None:
    document = together(("tasks", TASKS), ("notes", TASKS))
    schemas = document["components"]["schemas"]
    assert {"tasks_Task", "notes_Task", "tasks_Note", "notes_Note"} <= schemas.keys()
    assert "notes_" not in json.dumps(document["paths"]["/api/tasks/"])
    real = {found for found in references(document["paths"]) if found.startswith("#/components/schemas/")}
    assert {found.rpartition("/")[2] for found in real} - {"Task"} <= schemas.keys()


def test_the_order_of_answers_changes_nothing() -> None:
    one, other = together(("tasks", TASKS), ("notes", None)), together(("notes", None), ("tasks", TASKS))
    assert json.dumps(one) == json.dumps(other)
    assert [tag["name"] for tag in one["tags"]][-2:] == ["notes", "tasks"]


def test_a_service_called_like_a_part_of_the_control_plane_is_told_apart() -> None:
    document = together(("services", TASKS))
    assert document["paths"]["/v1/services"]["get"]["tags"] == ["control plane: services"]
    assert [tag["name"] for tag in document["tags"]].count("services") == 1


def test_a_service_without_a_document_is_listed_as_such() -> None:
    assert "has no OpenAPI document" in about(together(("plain", None)), "plain")


def deep(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {}
    for _ in range(levels):
        node = {"a": node}
    return {"openapi": "3.1.0", "paths": {"/": node}}


@pytest.mark.parametrize(
    "bad",
    [
        {"swagger": "2.0", "paths": {}},
        {"openapi": "3.1.0", "paths": []},
        {"openapi": "3.1.0", "paths": {"/": {"get": "no"}}},
        {"openapi": "3.1.0", "paths": {}, "components": 7},
        {"openapi": "3.1.0", "paths": {}, "info": "x" * LARGEST},
        {"openapi": "3.1.0", "paths": {}, "info": float("nan")},
        {"openapi": "3.1.0", "paths": {}, "info": "\ud800"},
        deep(150),
        deep(5000),
    ],
    ids=["swagger", "paths", "operation", "components", "large", "nan", "surrogate", "deep", "deeper"],
)
def test_a_document_that_cannot_be_read_is_named_and_harms_no_other(bad: dict[str, Any]) -> None:
    document = together(("bad", bad), ("tasks", TASKS))
    assert "cannot be read" in about(document, "bad")
    assert "/api/tasks/" in document["paths"] and "/api/bad/" not in document["paths"]


def test_a_path_that_is_taken_is_left_out_and_said() -> None:
    document = merged(OWN, [Contract("status", "/v1", None, {"openapi": "3.0.3", "paths": {"/status": {}}})], AT)
    assert document["paths"]["/v1/status"]["get"]["tags"] == ["control plane: platform"]
    assert "/v1/status" in about(document, "status")


def test_the_document_is_served_with_what_the_caller_may_see() -> None:
    platform = Still(service("tasks"), service("notes"), service("plain"))

    async def scenario() -> tuple[httpx.Response, httpx.Response]:
        confined = await platform.keys.sign_in(
            Caller("somebody", frozenset({"read"}), services=frozenset({ServiceName("tasks")}))
        )
        async with client(platform) as asked:
            whole = await asked.get("/v1/openapi.json")
            asked.headers["authorization"] = f"Bearer {confined}"
            return whole, await asked.get("/v1/openapi.json")

    whole, part = asyncio.run(scenario())
    tags = [each["name"] for each in whole.json()["tags"]]
    assert tags[-3:] == ["notes", "plain", "tasks"]
    assert "notes" not in [each["name"] for each in part.json()["tags"]]


def test_the_page_may_ask_this_server_and_nobody_else() -> None:
    answer = get(Still(), "/docs")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "connect-src 'self'" in policy and "http" not in policy
    assert "<script>" not in answer.text
