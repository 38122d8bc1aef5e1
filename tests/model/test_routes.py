"""Two OpenAPI documents side by side: what changed, and who will notice."""

from typing import Any

import pytest

from reconciler.model.routes import Kind, RouteChange, compare

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}


def document(
    operation: Schema | None = None, schemas: Schema | None = None, *, path: str = "/api/tasks/items"
) -> Schema:
    paths = {path: {"get": operation or {}}}
    return {"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas or {}}}


def takes(*parameters: Schema) -> Schema:
    return document({"parameters": list(parameters)})


def query(name: str, schema: Schema = TEXT, *, required: bool = False) -> Schema:
    return {"in": "query", "name": name, "required": required, "schema": schema}


def sends(schema: Schema, *, required: bool = True, media: str = "application/json", **schemas: Schema) -> Schema:
    return document({"requestBody": {"required": required, "content": {media: {"schema": schema}}}}, schemas)


def answers(schema: Schema, *, status: str = "200", media: str = "application/json", **schemas: Schema) -> Schema:
    return document({"responses": {status: {"content": {media: {"schema": schema}}}}}, schemas)


def fields(*required: str, **properties: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


REF = {"$ref": "#/components/schemas/Item"}
CASES = {
    "a parameter that must be given now": (
        takes(),
        takes(query("q", required=True)),
        ["query parameter `q` is new and required"],
    ),
    "a parameter that may be given now": (takes(), takes(query("q")), []),
    "a parameter that is required now": (
        takes(query("q")),
        takes(query("q", required=True)),
        ["query parameter `q` is required now"],
    ),
    "a parameter that is gone": (takes(query("q", required=True)), takes(), []),
    "a parameter of another type": (
        takes(query("n")),
        takes(query("n", WHOLE)),
        ["query parameter `n` must be integer, and could be string"],
    ),
    "a parameter that takes more": (takes(query("n", WHOLE)), takes(query("n", NUMBER)), []),
    "a choice that is gone": (
        takes(query("o", {"type": "string", "enum": ["asc", "desc"]})),
        takes(query("o", {"type": "string", "enum": ["asc"]})),
        ["query parameter `o`: `desc` is not taken any more"],
    ),
    "a header in another case": (
        takes({"in": "header", "name": "X-Id", "schema": TEXT}),
        takes({"in": "header", "name": "x-id", "schema": TEXT}),
        None,
    ),
    "a body that is required now": (document({}), sends(TEXT), ["a request body is required now"]),
    "a body that may be sent": (document({}), sends(TEXT, required=False), []),
    "a body of another kind": (
        sends(TEXT),
        sends(TEXT, media="text/plain"),
        ["a body of application/json is not taken any more"],
    ),
    "a field of a body that is required now": (
        sends(fields("title", title=TEXT)),
        sends(fields("title", "due", title=TEXT, due=TEXT)),
        ["body: `due` is required now"],
    ),
    "a field of a body that may be left out now": (sends(fields("title", title=TEXT)), sends(fields(title=TEXT)), None),
    "a field of a body that may be given": (sends(fields(title=TEXT)), sends(fields(title=TEXT, due=TEXT)), []),
    "a field of a body of another type, behind references": (
        sends(REF, Item=fields(price=NUMBER)),
        sends(REF, Item=fields(price=WHOLE)),
        ["body.price must be integer, and could be number"],
    ),
    "an answer without a field": (
        answers(fields(id=WHOLE, title=TEXT)),
        answers(fields(id=WHOLE)),
        ["200: `title` is gone"],
    ),
    "an answer with a field more": (answers(fields(id=WHOLE)), answers(fields(id=WHOLE, title=TEXT)), []),
    "a field of an answer that may be missing": (
        answers(fields("id", id=WHOLE)),
        answers(fields(id=WHOLE)),
        ["200: `id` may be missing"],
    ),
    "a field of an answer that may be null": (
        answers(fields(id=WHOLE)),
        answers(fields(id={"anyOf": [WHOLE, {"type": "null"}]})),
        ["200.id may be null, and was integer"],
    ),
    "a field of an answer that is never null any more": (
        answers(fields(id={"type": ["integer", "null"]})),
        answers(fields(id=WHOLE)),
        [],
    ),
    "a deep field of a list": (
        answers({"type": "array", "items": REF}, Item=fields(owner=fields(name=TEXT))),
        answers({"type": "array", "items": REF}, Item=fields(owner=fields())),
        ["200[].owner: `name` is gone"],
    ),
    "an answer that may be anything": (answers(TEXT), answers({}), ["200 may be anything, and was string"]),
    "an answer that says more of itself": (answers({}), answers(TEXT), []),
    "another good status": (answers(TEXT), answers(TEXT, status="201"), ["it does not answer 200 any more"]),
    "another error": (answers(TEXT, status="404"), answers(TEXT, status="410"), None),
    "another media type": (
        answers(TEXT),
        answers(TEXT, media="text/html"),
        ["200 has no application/json any more"],
    ),
    "a value that may come": (
        answers({"type": "string", "enum": ["open"]}),
        answers({"type": "string", "enum": ["open", "done"]}),
        ["200: `done` may come, and did not"],
    ),
    "only another description": (document({"summary": "Old"}), document({"summary": "New"}), None),
}


@pytest.mark.parametrize(("old", "new", "breaks"), CASES.values(), ids=CASES.keys())
def test_who_notices(old: Schema, new: Schema, breaks: list[str] | None) -> None:
    """`breaks` is what breaks callers: nothing at all, or (None) no change worth telling."""
    found = compare(old, new, "/api/tasks")
    if breaks is None and not found:
        return
    (change,) = found
    assert (change.method, change.path, change.kind) == ("GET", "/items", Kind.CHANGED)
    assert list(change.breaks) == (breaks or [])
    assert change.breaks or change.notes


def test_routes_appear_and_disappear() -> None:
    old: Schema = {"paths": {"/api/a/x": {"get": {}, "post": {}}, "/api/a/y": {"get": {}}}}
    new: Schema = {"paths": {"/api/a/x": {"get": {}}, "/api/a/z": {"put": {}}}}
    assert compare(old, new, "/api/a") == (
        RouteChange("POST", "/x", Kind.REMOVED, ("it is gone",)),
        RouteChange("GET", "/y", Kind.REMOVED, ("it is gone",)),
        RouteChange("PUT", "/z", Kind.ADDED),
    )


def test_the_name_of_a_path_parameter_is_nobodys_business() -> None:
    old = document(path="/items/{id}")
    assert compare(old, document(path="/items/{item_id}")) == ()


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {"paths": []},
        {"paths": {"/x": None, "/y": {"get": 1}}},
        document({"parameters": {"a": 1}, "requestBody": [], "responses": 7}),
        document({"parameters": [None, 1], "responses": {"200": None, "x": 1}}),
        answers(REF, Item=REF),
        answers(REF, Item={"anyOf": [REF, REF, {"type": "null"}]}),
        answers(REF, Item={"type": ["a", 1], "properties": 3, "required": {}, "enum": 1}),
    ],
)
def test_a_strange_document_says_nothing(strange: Schema) -> None:
    assert compare(strange, strange) == ()
    compare(strange, answers(TEXT))
    compare(answers(TEXT), strange)


def test_a_document_that_contains_itself_comes_to_an_end() -> None:
    knot = fields(**{f"field{number}": REF for number in range(50)})
    compare(answers(REF, Item=knot), answers(REF, Item={**knot, "description": "again"}))
