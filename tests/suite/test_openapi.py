"""An answer is held against the operation and the status that the service's own document describes."""

import json
from typing import Any

import pytest

from reconciler.model.suite.answer import Answer
from reconciler.suite.openapi import NoContract, OpenApi


def contract(responses: dict[str, Any], *, version: str = "3.1.0", **more: Any) -> OpenApi:
    paths = {"/tasks/{id}": {"get": {"responses": responses}}, "/tasks/new": {"get": {"responses": {"204": {}}}}}
    return OpenApi({"openapi": version, "paths": paths, **more}, "/api/tasks")


def told(document: OpenApi, answer: Answer, path: str = "/api/tasks/tasks/7") -> list[str]:
    return [f"{promise}: {fault.message}" for promise, fault in document.faults("GET", path, answer)]


def answer(body: Any, status: int = 200, media_type: str = "application/json") -> Answer:
    content = json.dumps(body).encode()
    return Answer(status, [("Content-Type", media_type)], content, len(content))


def content(schema: Any, media_type: str = "application/json") -> dict[str, Any]:
    return {"content": {media_type: {"schema": schema}}}


INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    ("responses", "got"),
    [
        pytest.param({"200": content(INTEGER)}, answer(5), id="the schema fits"),
        pytest.param({"2XX": content(INTEGER)}, answer(5, 201), id="a class of statuses"),
        pytest.param({"default": content(INTEGER)}, answer(5, 500), id="the default"),
        pytest.param({"200": {}}, answer(5), id="no word about the body"),
        pytest.param({"200": content(INTEGER, "application/*")}, answer(5), id="a range of types"),
        pytest.param(
            {"200": content(INTEGER)}, answer(5, media_type="application/json; charset=utf-8"), id="a charset"
        ),
        pytest.param(
            {"200": content({}, "text/html")}, answer(5, media_type="text/html"), id="a body that is not JSON"
        ),
    ],
)
def test_it_fits(responses: dict[str, Any], got: Answer) -> None:
    assert told(contract(responses), got) == []


@pytest.mark.parametrize(
    ("responses", "got", "said"),
    [
        pytest.param({"200": content(INTEGER)}, answer("5"), '"5" is not of type "integer"', id="another body"),
        pytest.param({"200": content(INTEGER)}, answer(5, 404), "(200): 404", id="another status"),
        pytest.param({"200": content(INTEGER)}, answer(5, media_type="text/html"), ": text/html", id="another type"),
        pytest.param(
            {"200": content({"$ref": "http://evil/x"})},
            answer(5),
            "is not a JSON Schema that can be used",
            id="a schema elsewhere",
        ),
        pytest.param({"200": content({"type": "x"})}, answer(5), "is not a JSON Schema", id="a schema that is none"),
    ],
)
def test_it_does_not_fit(responses: dict[str, Any], got: Answer, said: str) -> None:
    assert said in " ".join(told(contract(responses), got))


def test_references_stay_inside_the_document() -> None:
    shelf = {"schemas": {"Id": INTEGER}, "responses": {"One": content({"$ref": "#/components/schemas/Id"})}}
    document = contract({"200": {"$ref": "#/components/responses/One"}}, components=shelf)
    assert told(document, answer(5)) == []
    assert told(document, answer("5")) != []


def test_nullable_means_what_it_meant_in_version_3_0() -> None:
    schema = {"type": "integer", "nullable": True}
    assert told(contract({"200": content(schema)}, version="3.0.3"), answer(None)) == []
    assert told(contract({"200": content(schema)}), answer(None)) != []


def test_the_most_literal_path_is_meant() -> None:
    assert told(contract({"200": content(INTEGER)}), answer(None, 204), "/api/tasks/tasks/new") == []


def test_paths_may_be_written_with_the_prefix() -> None:
    document = OpenApi(
        {"openapi": "3.1.0", "paths": {"/api/tasks/tasks": {"get": {"responses": {"204": {}}}}}}, "/api/tasks"
    )
    assert told(document, answer(None, 204), "/api/tasks/tasks") == []


def test_an_operation_that_is_not_described_does_not_fit() -> None:
    assert told(contract({}), answer(5), "/api/tasks/other") == [
        "GET /api/tasks/other in the OpenAPI document: nothing about it"
    ]


@pytest.mark.parametrize("got", [answer(5, 404), answer(5), answer([]), Answer(200, [], b"no", 2)])
def test_what_is_no_document_is_said(got: Answer) -> None:
    with pytest.raises(NoContract):
        OpenApi.read(got, "/api/tasks")


def test_a_document_that_is_nothing_but_surprises_is_no_reason_to_fall() -> None:
    for odd in ({"paths": {"/x": 5}}, {"paths": {"/x": {"get": 5}}}, {"paths": {"/x": {"get": {"responses": 5}}}}):
        told(OpenApi(odd, "/api/tasks"), answer(5), "/api/tasks/x")
    for odd_response in (5, {"content": 5}, {"content": {"application/json": 5}}, {"$ref": "#/paths/x"}, {"$ref": 5}):
        told(contract({"200": odd_response}), answer(5))
