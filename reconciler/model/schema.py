"""The formats as JSON Schemas, for editors: they complete fields, explain them and underline most mistakes.

Made from the models, so that the two cannot disagree; what a schema cannot say (a schedule that never fires, a
name written twice) only the models know. A new format joins by a line in `SCHEMAS`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from reconciler.model import duration, size
from reconciler.model.manifest import NOT_YET, Manifest
from reconciler.model.platform import OWN_ONLY, PlatformFile
from reconciler.model.suite.format import SuiteWritten, with_shared

Schema: TypeAlias = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def of_model(model: type[BaseModel], title: str) -> Schema:
    """A model's schema, with defaults written as people write them and without the empty alternative."""
    schema = model.model_json_schema(by_alias=True)
    described = _tidy(schema)
    return {"$schema": DRAFT, "title": title, **{name: part for name, part in described.items() if name != "title"}}


def service() -> Schema:
    schema = of_model(Manifest, "service.yaml: one service")
    for name in NOT_YET:
        schema["properties"][name]["description"] += " Not available in this version."
    return schema


def services() -> Schema:
    """The platform's file; its defaults and overrides hold a manifest's fields, which may be empty there."""
    manifest = service()
    schema = of_model(PlatformFile, "services.yaml: all services of a repository")
    fields = {
        "type": "object",
        "description": "Fields of a manifest; an empty one takes a lower value back.",
        "additionalProperties": False,
        "properties": {
            name: _or_empty(field) for name, field in manifest["properties"].items() if name not in OWN_ONLY
        },
    }
    schema["$defs"] = {**manifest.get("$defs", {}), **schema.get("$defs", {}), "Fields": fields}
    properties = schema["properties"]
    properties["defaults"] = {**_named(properties["defaults"]), "$ref": "#/$defs/Fields"}
    properties["overrides"] = {
        **_named(properties["overrides"]),
        "type": "object",
        "propertyNames": {"maxLength": 63},
        "additionalProperties": _or_empty({"$ref": "#/$defs/Fields"}),
        "examples": [{"reports": {"suspend": True}}],
    }
    return schema


def suite() -> Schema:
    return with_shared(of_model(SuiteWritten, "tests.yaml: the suite of a service"))


SCHEMAS: Final[Mapping[str, Callable[[], Schema]]] = {"services": services, "service": service, "suite": suite}


def schema_of(kind: str) -> Schema:
    return SCHEMAS[kind]()


def published(kind: str) -> str:
    """The schema as the file in `docs/schemas` holds it and the command prints it."""
    return json.dumps(schema_of(kind), indent=2) + "\n"


def _tidy(node: Any) -> Any:
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    tidy = {name: _tidy(part) for name, part in node.items()}
    tidy = _without_null(tidy)
    if tidy.get("default", 0) is None or "$ref" in tidy:
        tidy.pop("default", None)
    if "patternProperties" in tidy:
        tidy.pop("propertyNames", None)
        tidy.setdefault("additionalProperties", False)
    return _with_written_default(tidy)


def _without_null(node: Schema) -> Schema:
    """`anyOf` something or null is that something: an empty field is as if it were not written."""
    choices = node.get("anyOf", [])
    some = [each for each in choices if each != {"type": "null"}]
    if len(some) == len(choices):
        return node
    rest = {name: part for name, part in node.items() if name != "anyOf"}
    return {**some[0], **rest} if len(some) == 1 else {**rest, "anyOf": some}


def _with_written_default(node: Schema) -> Schema:
    default = node.get("default")
    if node.get("pattern") == duration.PATTERN and isinstance(default, float):
        return {**node, "default": duration.written(default)}
    if node.get("pattern") == size.PATTERN and isinstance(default, int):
        return {**node, "default": size.written(default)}
    return node


def _or_empty(field: Schema) -> Schema:
    return {
        **_named(field),
        "anyOf": [{name: part for name, part in field.items() if name not in _NAMES}, {"type": "null"}],
    }


_NAMES: Final = ("title", "description", "examples", "default")


def _named(field: Schema) -> Schema:
    return {name: field[name] for name in ("title", "description", "examples") if name in field}
