"""The fields of a suite: how each kind of value that a person writes is read, and what an editor is told of it.

A reader compiles and checks at once, so that a mistake is told at its own line. The JSON Schema of a field says as
much as that language can; the reader has the last word.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from reconciler.model.diagnosis import refuse
from reconciler.model.duration import Duration
from reconciler.model.suggestion import did_you_mean, listed, nearest
from reconciler.model.suite.jsonpath import PathError
from reconciler.model.suite.jsonpath import path as json_path
from reconciler.model.suite.matcher import NAMES, TYPES, Matcher, MatcherError, UnknownMatcher
from reconciler.model.suite.matcher import matcher as read_matcher
from reconciler.model.suite.pattern import PatternError, pattern
from reconciler.model.suite.template import NAME, Template, TemplateError, template

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
CUSTOM_METHOD: Final = re.compile(r"[A-Z][A-Z0-9-]{1,30}")
RESERVED: Final = ("run", "new", "secrets")
"""Variables the player brings along; a suite does not define them."""
STATUS: Final = re.compile(r"[1-5](?:[0-9]{2}|[xX]{2})")
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
ELSEWHERE: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//")


def _template(value: Any) -> Template:
    try:
        return template(value)
    except TemplateError as error:
        refuse("bad-template", str(error))


def is_custom_method(key: object) -> bool:
    return (
        isinstance(key, str) and key not in METHODS and bool(CUSTOM_METHOD.fullmatch(key)) and not nearest(key, METHODS)
    )


def _scalar(value: Any) -> Template:
    if isinstance(value, (Mapping, list)):
        refuse("wrong-type", "{name} must be a single value, not {value}", expected="a text or a number")
    return _template(value)


def _scalars(value: Any) -> tuple[Template, ...]:
    return tuple(_scalar(item) for item in value) if isinstance(value, list) else (_scalar(value),)


def read_path(value: Any) -> Template:
    if not isinstance(value, str):
        refuse("wrong-type", "{name} must be a path, not {value}", expected="a path below the service, like /tasks")
    if problem := path_problem(value):
        refuse("not-below-service", problem, expected="a path below the service, like /tasks")
    return _template(value)


def path_problem(path: str) -> str | None:
    """Why a path may not be asked for; also of one that has just been filled in."""
    if ELSEWHERE.match(path):
        return f"`{path}` leads to another host; a suite asks its own service only"
    if not path.startswith(("/", "${")):
        return f"`{path}` must begin with a slash"
    steps = path.partition("?")[0].partition("#")[0].lower().replace("%2e", ".").replace("\\", "/").split("/")
    if ".." in steps or "." in steps:
        return f"`{path}` leads out of the service"
    if any(character < " " or character == "\x7f" for character in path):
        return "a path holds no control characters"
    return None


def _matcher(value: Any) -> Matcher:
    try:
        return read_matcher(value)
    except UnknownMatcher as error:
        name = str(error)
        remedy = did_you_mean(name, NAMES) or "to compare with an object, write {equals: {…}}"
        refuse("unknown-matcher", f"there is no matcher `{name}`", expected=f"one of {listed(NAMES)}", remedy=remedy)
    except TemplateError as error:
        refuse("bad-template", str(error))
    except MatcherError as error:
        refuse("bad-matcher", str(error))


def _status(value: Any) -> Matcher | tuple[Template, ...]:
    if isinstance(value, Mapping):
        return _matcher(value)
    items = value if isinstance(value, list) else [value]
    for item in items:
        is_text = isinstance(item, (int, str)) and not isinstance(item, bool)
        if not is_text or not (STATUS.fullmatch(str(item)) or "${" in str(item)):
            refuse("bad-status", "{name} cannot be {value}", expected="a number like 201, a class like 2xx, or a list")
    if not items:
        refuse("bad-status", "{name} allows nothing", expected="a number like 201, a class like 2xx, or a list")
    return tuple(_template(str(item)) for item in items)


def _json_path(value: Any) -> str:
    if "${" not in value:
        try:
            json_path(value)
        except PathError as error:
            refuse("bad-jsonpath", str(error), expected="an RFC 9535 JSONPath, like $.items[0].id")
    return _checked(value)


def _checked(value: str) -> str:
    _template(value)
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        refuse(
            "bad-name", f"`{value}` cannot be a variable", expected="letters, digits, _ and -, beginning with a letter"
        )
    if value in RESERVED:
        refuse("bad-name", f"`{value}` is one of the variables every suite has", remedy="choose another name")
    return value


def _header_name(value: Any) -> str:
    if not isinstance(value, str) or not HEADER_NAME.fullmatch(value):
        refuse("bad-header", f"`{value}` cannot be the name of a header")
    return value


def _pattern(value: Any) -> str:
    if not isinstance(value, str):
        refuse("wrong-type", "{name} must be a pattern, not {value}", remedy="put it in quotes")
    try:
        pattern(value)
        groups = re.compile(value).groups
    except (PatternError, re.error, RecursionError, OverflowError) as error:
        refuse("bad-pattern", str(error))
    if groups != 1:
        refuse("bad-pattern", f"a captured pattern has one group, and `{value[:80]}` has {groups}")
    return value


def _pairs(value: Any) -> tuple[tuple[Template, Template], ...]:
    """Names and values, either of which may hold references; a list is one name several times."""
    if not isinstance(value, Mapping):
        refuse("wrong-type", "{name} must be a mapping, not {value}", expected="lines of `name: value`")
    return tuple((_template(name), item) for name, items in value.items() for item in _scalars(items))


def _list_of_one(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def as_capture(value: Any) -> Any:
    return {"json": value} if isinstance(value, str) else value


def as_upload(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


REFERENCE: Final = "x-shared"
"""Stands for `$ref` while pydantic looks, which knows only its own definitions."""
ANY_JSON: Final[dict[str, Any]] = {}
TEMPLATE_NOTE: Final = "`${name}` anywhere in it is filled in while the suite is played."
_SCALAR_SCHEMA: Final[dict[str, Any]] = {"type": ["string", "number", "boolean", "null"], "description": TEMPLATE_NOTE}
PATH_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^(/|\$\{)",
    "description": "A path below the service. " + TEMPLATE_NOTE,
    "examples": ["/tasks", "/tasks/${task_id}"],
}
VALUE_OR_MATCHER_SCHEMA: Final = {
    "description": (
        "A plain value means equal; the words `absent` and `exists` mean the matchers; a mapping holds matchers, "
        "all of which must hold."
    ),
    "anyOf": [{REFERENCE: "Matchers"}, {"type": ["string", "number", "boolean", "null", "array"]}],
}
_ITSELF: Final = {REFERENCE: "ValueOrMatcher"}
MATCHERS_SCHEMA: Final[dict[str, Any]] = {
    "title": "Matchers",
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "equals": {"description": "Equal to this value, whatever it is. 1 equals 1.0; neither equals true."},
        "not": {**_ITSELF, "description": "Not equal to this value, or none of these matchers holds."},
        "lt": {"type": ["number", "string"], "description": "Less than this number, or sorted before this text."},
        "le": {"type": ["number", "string"], "description": "At most this."},
        "gt": {"type": ["number", "string"], "description": "More than this."},
        "ge": {"type": ["number", "string"], "description": "At least this."},
        "contains": {"description": "A text holds this text, a list this item, an object these members."},
        "matches": {
            "type": "string",
            "description": "This regular expression is found in the text; anchor it with ^ and $. No look-around.",
        },
        "starts_with": {"type": "string", "description": "The text begins with this."},
        "type": {
            "anyOf": [{"enum": list(TYPES)}, {"type": "array", "items": {"enum": list(TYPES)}}],
            "description": "The value's JSON type, or one of several.",
        },
        "count": {
            **_ITSELF,
            "description": "How many nodes the path found, or items a list, members an object, characters a text has.",
        },
        "in": {"type": ["array", "string"], "description": "Equal to one of these values."},
        "exists": {"type": "boolean", "description": "It is there, be it null."},
        "absent": {"type": "boolean", "description": "It is not there."},
    },
}

AnyValue = Annotated[Template, PlainValidator(_template), WithJsonSchema(ANY_JSON)]
Scalar = Annotated[Template, PlainValidator(_scalar), WithJsonSchema(_SCALAR_SCHEMA)]
Scalars = Annotated[
    tuple[Template, ...],
    PlainValidator(_scalars),
    WithJsonSchema({"anyOf": [_SCALAR_SCHEMA, {"type": "array", "items": _SCALAR_SCHEMA}]}),
]
Pairs = Annotated[
    tuple[tuple[Template, Template], ...],
    PlainValidator(_pairs),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"anyOf": [_SCALAR_SCHEMA, {"type": "array", "items": _SCALAR_SCHEMA}]},
        }
    ),
]
PathBelow = Annotated[Template, PlainValidator(read_path), WithJsonSchema(PATH_SCHEMA)]
ValueOrMatcher = Annotated[Matcher, PlainValidator(_matcher), WithJsonSchema(_ITSELF)]
Status = Annotated[
    Matcher | tuple[Template, ...],
    PlainValidator(_status),
    WithJsonSchema(
        {
            "anyOf": [
                {REFERENCE: "StatusItem"},
                {"type": "array", "items": {REFERENCE: "StatusItem"}, "minItems": 1},
                {REFERENCE: "Matchers"},
            ],
        }
    ),
]
Variable = Annotated[str, BeforeValidator(_name)]
HeaderName = Annotated[str, BeforeValidator(_header_name)]
JsonPath = Annotated[str, BeforeValidator(_json_path)]
Seconds = Annotated[float, Duration("1ms", "10m")]
Regex = Annotated[str, PlainValidator(_pattern), WithJsonSchema({"type": "string", "format": "regex"})]
Names = Annotated[
    tuple[str, ...],
    Field(strict=False),
    BeforeValidator(_list_of_one, json_schema_input_type=list[str] | str),
]


SHARED_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "Matchers": MATCHERS_SCHEMA,
    "ValueOrMatcher": VALUE_OR_MATCHER_SCHEMA,
    "StatusItem": {
        "anyOf": [
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "string", "pattern": r"^([1-5][0-9xX]{2}|.*\$\{.*)$"},
        ]
    },
}
