"""What a model refused becomes sentences a person can act on, each at its line.

One entry for each kind of pydantic error, so that suites, manifests and the platform's file speak alike.
A model adds what only it knows: `SYNONYMS`, names people try that mean something else here, with what to
write instead. Refuses to quote values from confidential places.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from reconciler.model.position import Origin, Path, is_confidential, shown, steps
from reconciler.model.problem import Problem
from reconciler.model.suggestion import did_you_mean, one_of

MAX_PROBLEMS: Final = 50
"""In one file; a person mends the first few and asks again."""

FEW: Final = 8
"""So many names are worth listing beside the one that was probably meant."""
_YES: Final = frozenset({"yes", "on", "y", "1", "enabled"})
_NO: Final = frozenset({"no", "off", "n", "0", "disabled"})


@dataclass(frozen=True, slots=True)
class Told:
    """A problem without its place. In the message, `{name}` and `{value}` stand for the field and what was written."""

    message: str
    code: str
    expected: str | None = None
    remedy: str | None = None
    at_key: bool = False
    """It is the name that is wrong, not what is written behind it."""


def refuse(
    code: str, message: str, *, expected: str | None = None, remedy: str | None = None, at_key: bool = False
) -> NoReturn:
    """What our own validators raise: they choose the words, the diagnosis adds the place."""
    raise PydanticCustomError("refused", "{told}", {"told": Told(message, code, expected, remedy, at_key)})


def diagnose(
    model: type[BaseModel], error: ValidationError, data: Any, origin: Origin, service: str | None = None
) -> tuple[Problem, ...]:
    details = error.errors(include_url=False)[: 4 * MAX_PROBLEMS]
    return in_order(_problem(model, detail, data, origin, service) for detail in details)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """In the order of the file, each once, and no more of one file than a person reads."""
    ordered = sorted(dict.fromkeys(problems), key=_place)
    files = dict.fromkeys(problem.file for problem in ordered)
    return tuple(problem for file in files for problem in _cut([each for each in ordered if each.file == file]))


@dataclass(frozen=True, slots=True)
class Refused:
    """One error of pydantic, with what is needed to explain it."""

    context: Mapping[str, Any]
    path: Path
    value: Any
    written: str | None
    around: type[BaseModel] | None
    """The model whose field it is."""

    @property
    def name(self) -> str:
        """`limits.memory`, `cron[0].schedule`, as people write it."""
        name = ""
        for step in self.path:
            name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else step
        return shown(name, 80) if name else "this file"

    @property
    def quoted(self) -> str:
        if isinstance(self.value, Mapping):
            return "a mapping"
        if isinstance(self.value, (list, tuple)):
            return "a list"
        if self.value is None:
            return "nothing"
        if is_confidential(self.path):
            return "what stands here"
        return shown(self.written or self.value)


def _problem(model: type[BaseModel], detail: ErrorDetails, data: Any, origin: Origin, service: str | None) -> Problem:
    kind = detail["type"]
    path, value = _way(detail["loc"], data, absent=kind == "missing")
    refused = Refused(detail.get("ctx", {}), path, value, origin.written(path), _model_at(model, path[:-1]))
    told = _TELLERS[kind](refused) if kind in _TELLERS else _other(detail["msg"])
    at_key = told.at_key or kind == "extra_forbidden" or detail["loc"][-1:] == ("[key]",)
    position = origin.key(path) if at_key else origin.position(path)
    return Problem(
        told.message.replace("{name}", refused.name).replace("{value}", refused.quoted),
        told.code,
        service=service,
        file=position.file,
        line=position.line,
        column=position.column,
        excerpt=position.excerpt,
        expected=told.expected,
        remedy=told.remedy,
    )


def _way(location: tuple[int | str, ...], data: Any, absent: bool) -> tuple[Path, Any]:
    """The location without the names of types that pydantic adds on the way through unions."""
    path: list[int | str] = []
    value = data
    for step in location:
        if step in steps(value):
            value = value[step]
            path.append(step)
    if location[-1:] == ("[key]",):
        value = path[-1] if path else None
    if absent:
        path.append(location[-1])
        value = None
    return tuple(path), value


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model that a value at this path is read as, where the path tells it."""
    here: list[type[BaseModel]] = [model]
    for step in path:
        if isinstance(step, str):
            fields = [field for each in here for name, field in _fields(each) if name == step]
            here = [inner for field in fields for inner in _models_in(field.annotation)] or (here if not fields else [])
    return here[0] if here else None


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _unknown_field(refused: Refused) -> Told:
    name = str(refused.path[-1]) if refused.path else ""
    names = [each for each, _ in _fields(refused.around)] if refused.around else []
    remedy = getattr(refused.around, "SYNONYMS", {}).get(name) or did_you_mean(name, names)
    return Told(
        "there is no field {name}",
        "unknown-field",
        expected=one_of(sorted(names)) if names and (remedy is None or len(names) <= FEW) else None,
        remedy=remedy or "remove it",
    )


def _missing(refused: Refused) -> Told:
    return Told("{name} is missing", "missing-field", remedy=f"add `{refused.path[-1]}: …`")


def _boolean(refused: Refused) -> Told:
    word = str(refused.value).lower()
    remedy = "write true" if word in _YES else "write false" if word in _NO else None
    return Told("{name} must be true or false, not {value}", "wrong-type", expected="true or false", remedy=remedy)


def _text(refused: Refused) -> Told:
    if isinstance(refused.value, bool):
        message = "{name} must be text; without quotes it is a truth value"
    elif isinstance(refused.value, (int, float)):
        message = "{name} must be text; without quotes it is a number"
    elif refused.value is None:
        return Told(
            "{name} has no value", "wrong-type", expected="text", remedy='write a text, or `""` for an empty one'
        )
    else:
        return Told("{name} must be text, not {value}", "wrong-type", expected="text")
    quoted = "" if is_confidential(refused.path) else f': "{refused.written or refused.value}"'
    return Told(message, "wrong-type", expected="text", remedy=f"put it in quotes{quoted}")


def _whole_number(refused: Refused) -> Told:
    return Told(
        "{name} must be a whole number, not {value}",
        "wrong-type",
        expected="a whole number",
        remedy=_digits_only(refused.value),
    )


def _number(refused: Refused) -> Told:
    return Told(
        "{name} must be a number, not {value}", "wrong-type", expected="a number", remedy=_digits_only(refused.value)
    )


def _digits_only(value: Any) -> str | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9_ ,]+", value):
        plain = re.sub(r"[^0-9]", "", value).lstrip("0") or "0"
        return f"write {plain[:20]}, without quotes, leading zeros or separators"
    return None


def _list(_: Refused) -> Told:
    return Told(
        "{name} must be a list, not {value}", "wrong-type", expected="a list", remedy="begin each entry with `- `"
    )


def _mapping(_: Refused) -> Told:
    return Told("{name} must be a mapping, not {value}", "wrong-type", expected="lines of `name: value`")


def _choice(refused: Refused) -> Told:
    """Pydantic lists what a Literal or an Enum allows as text: `'a', 'b' or 'c'`."""
    allowed = str(refused.context.get("expected", refused.context.get("expected_tags", "")))
    names = re.findall(r"'([^']*)'", allowed)
    return Told(
        "{name} cannot be {value}",
        "unknown-value",
        expected=one_of(names or [allowed]),
        remedy=did_you_mean(str(refused.value), names),
    )


def _bounded(words: str, bound: str) -> Callable[[Refused], Told]:
    def tell(refused: Refused) -> Told:
        limit = f"{words} {refused.context.get(bound)}"
        return Told(f"{{name}} must be {limit}, not {{value}}", "out-of-range", expected=limit)

    return tell


def _sized(words: str, bound: str, things: str) -> Callable[[Refused], Told]:
    def tell(refused: Refused) -> Told:
        limit = f"{words} {refused.context.get(bound)} {things}"
        return Told(f"{{name}} must have {limit}", "out-of-range", expected=limit)

    return tell


def _said(refused: Refused) -> Told:
    return Told(f"{{name}}: {refused.context.get('error', 'not valid')}", "not-valid")


def _refused(refused: Refused) -> Told:
    told: Told = refused.context["told"]
    return told


def _other(said: str) -> Told:
    return Told(f"{{name}}: {said[:1].lower()}{said[1:]}", "not-valid")


_TELLERS: Final[dict[str, Callable[[Refused], Told]]] = {
    "refused": _refused,
    "extra_forbidden": _unknown_field,
    "missing": _missing,
    "bool_type": _boolean,
    "bool_parsing": _boolean,
    "string_type": _text,
    "int_type": _whole_number,
    "int_parsing": _whole_number,
    "int_from_float": _whole_number,
    "float_type": _number,
    "float_parsing": _number,
    "list_type": _list,
    "tuple_type": _list,
    "set_type": _list,
    "frozen_set_type": _list,
    "dict_type": _mapping,
    "mapping_type": _mapping,
    "model_type": _mapping,
    "model_attributes_type": _mapping,
    "dataclass_type": _mapping,
    "literal_error": _choice,
    "enum": _choice,
    "union_tag_invalid": _choice,
    "greater_than": _bounded("more than", "gt"),
    "greater_than_equal": _bounded("at least", "ge"),
    "less_than": _bounded("less than", "lt"),
    "less_than_equal": _bounded("at most", "le"),
    "too_long": _sized("at most", "max_length", "entries"),
    "too_short": _sized("at least", "min_length", "entries"),
    "string_too_long": _sized("at most", "max_length", "characters"),
    "string_too_short": _sized("at least", "min_length", "characters"),
    "value_error": _said,
    "assertion_error": _said,
}


def _cut(problems: list[Problem]) -> list[Problem]:
    if len(problems) <= MAX_PROBLEMS:
        return problems
    kept = problems[: MAX_PROBLEMS - 1]
    last = problems[MAX_PROBLEMS - 1]
    more = Problem(
        "there are more problems from here on",
        "more-problems",
        service=last.service,
        file=last.file,
        line=last.line,
        column=last.column,
        remedy="mend those above and check again",
    )
    return [*kept, more]


def _place(problem: Problem) -> tuple[str, int, int, str, str]:
    return problem.file or "", problem.line or 0, problem.column or 0, problem.code, problem.message
