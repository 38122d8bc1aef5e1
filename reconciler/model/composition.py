"""Events of a YAML file become plain data, with the place of every key and value beside it.

Everything that makes YAML dangerous or surprising stops here: aliases, merge keys, tags, several documents,
duplicate keys, deep nesting, too many values, and scalars that turn into something nobody wrote. Only null,
true, false, integers and decimals are resolved; `NO`, `on`, `22:22`, `0777`, `1_000` and `2026-02-30` stay text.
What can be told together is told together; what makes the rest unreadable ends the reading.
"""

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    StreamEndEvent,
)

from reconciler.model.position import CONFIDENTIAL, HIDDEN, shown
from reconciler.model.scanner import MAX_DEPTH, BoundedParser, Place, TooDeep
from reconciler.model.syntax import Fault, syntax_fault

MAX_NODES: Final = 5_000
MAX_DIGITS: Final = 100
MAX_FAULTS: Final = 50

_CONSTANTS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_NUMBER: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?P<point>\.[0-9]*)?)(?P<power>[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(slots=True)
class Spot:
    """Where one value stands, counted from 0; its children by key or index."""

    line: int
    column: int
    written: str | None = None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    children: "dict[str, Spot] | list[Spot] | None" = None


class Unreadable(Exception):
    """The rest of the file cannot be understood; `fault` is the last that can be told."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Composition:
    """Reads one text once. `faults` says what is wrong; data and spots are true only where there is none."""

    def __init__(self, text: str) -> None:
        self._events = BoundedParser(text)
        self._nodes = 0
        self._confidential = False
        self.faults: list[Fault] = []
        self.data: Any = None
        self.root = Spot(0, 0)

    def read(self) -> None:
        try:
            self._read_stream()
        except Unreadable as unreadable:
            self._keep(unreadable.fault)
        except TooDeep as deep:
            self._keep(_too_deep(deep.place))
        except MarkedYAMLError as error:
            self._keep(syntax_fault(error))
        except (ValueError, OverflowError, IndexError):
            self._keep(self._unscannable())

    def _unscannable(self) -> Fault:
        """PyYAML converts some numbers unchecked: those of escapes (`\\UFFFFFFFF`) and of directives."""
        at = self._events
        message = "an escape or a directive holds a number that means nothing"
        return Fault(at.line, at.column, "syntax", message, remedy="remove it")

    def _read_stream(self) -> None:
        self._next()
        start = self._next()
        if isinstance(start, StreamEndEvent):
            return
        self._refuse_directives(start)
        self.data, self.root = self._value(self._next(), depth=1)
        while not isinstance(event := self._next(), StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                raise Unreadable(_several_documents(_start(event)))

    def _next(self) -> Any:
        return self._events.get_event()  # type: ignore[no-untyped-call]

    def _value(self, event: Any, depth: int) -> tuple[Any, Spot]:
        mark = _start(event)
        self._count(mark)
        if isinstance(event, AliasEvent):
            self._fault(mark, "alias", f"an alias (`*{event.anchor}`) cannot be used here", remedy=_WRITE_IT_OUT)
            return None, Spot(mark.line, mark.column)
        self._refuse_properties(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if depth > MAX_DEPTH:
            raise Unreadable(_too_deep(mark))
        if isinstance(event, MappingStartEvent):
            return self._mapping(mark, depth)
        return self._list(mark, depth)

    def _mapping(self, mark: Place, depth: int) -> tuple[dict[str, Any], Spot]:
        data: dict[str, Any] = {}
        children: dict[str, Spot] = {}
        spot = Spot(mark.line, mark.column, children=children)
        while not isinstance(event := self._next(), CollectionEndEvent):
            key = self._key(event, depth)
            at = _start(event)
            outside = self._confidential
            self._confidential = outside or key in CONFIDENTIAL
            value, child = self._value(self._next(), depth + 1)
            self._confidential = outside
            if key is None:
                continue
            if key in data:
                self._fault(
                    at,
                    "duplicate-key",
                    f"{shown(key)} is written twice; the first time on line {spot.keys[key][0] + 1}",
                    remedy="keep one of the two",
                )
                continue
            data[key] = value
            children[key] = child
            spot.keys[key] = (at.line, at.column)
        return data, spot

    def _list(self, mark: Place, depth: int) -> tuple[list[Any], Spot]:
        data: list[Any] = []
        children: list[Spot] = []
        while not isinstance(event := self._next(), CollectionEndEvent):
            value, child = self._value(event, depth + 1)
            data.append(value)
            children.append(child)
        return data, Spot(mark.line, mark.column, children=children)

    def _key(self, event: Any, depth: int) -> str | None:
        """The key as it is written: `on`, `200` and `true` are names here, not values."""
        mark = _start(event)
        if isinstance(event, ScalarEvent):
            self._count(mark)
            self._refuse_properties(event)
            if event.value == "<<" and event.style is None:
                self._fault(mark, "merge-key", "merge keys (`<<`) cannot be used here", remedy=_WRITE_IT_OUT)
                return None
            if event.value == "" and event.style is None:
                self._fault(mark, "empty-key", "a name is missing before the `:`", expected="`name: value`")
                return None
            return self._checked_text(event)
        self._value(event, depth + 1)
        self._fault(
            mark,
            "key-not-text",
            "a key must be a plain name",
            expected="`name: value`",
            remedy="quote it if it begins with `{`, `[` or `*`",
        )
        return None

    def _scalar(self, event: ScalarEvent) -> tuple[Any, Spot]:
        mark = _start(event)
        if event.style is not None or event.tag is not None:
            return self._checked_text(event), Spot(mark.line, mark.column)
        text: str = event.value
        if text in _CONSTANTS:
            return _CONSTANTS[text], Spot(mark.line, mark.column, written=text)
        value = self._number(text, mark) if text[0] in "+-.0123456789" else None
        if value is None:
            return text, Spot(mark.line, mark.column)
        return value, Spot(mark.line, mark.column, written=text[: MAX_DIGITS + 1])

    def _number(self, text: str, mark: Place) -> int | float | None:
        if _NOT_FINITE.fullmatch(text):
            self._fault(mark, "not-finite", f"{shown(text)} is not a number that can be stored", expected="a number")
            return 0
        match = _NUMBER.fullmatch(text)
        if match is None:
            return None
        if len(text) > MAX_DIGITS:
            self._fault(
                mark,
                "number-too-long",
                f"a number of {len(text)} characters is too long",
                expected=f"at most {MAX_DIGITS} digits",
                remedy="quote it if it is text",
            )
            return 0
        if match["point"] is None and match["power"] is None and "." not in text:
            return int(text)
        number = float(text)
        if not math.isfinite(number):
            self._fault(mark, "not-finite", f"{shown(text)} is too large for a number", remedy="quote it if it is text")
        return number

    def _checked_text(self, event: ScalarEvent) -> str:
        """Escapes can bring back the characters that the raw file was searched for."""
        text: str = event.value
        if event.style != '"' or not HIDDEN.search(text):
            return text
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if "\ufffd" not in joined and not HIDDEN.search(joined):
            return joined
        self._fault(
            _start(event),
            "hidden-character",
            "an escape in this text stands for a character that cannot be seen or stored",
            remedy="remove the escape",
        )
        return ""

    def _refuse_properties(self, event: NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if event.anchor is not None:
            self._fault(
                _start(event), "anchor", f"an anchor (`&{event.anchor}`) cannot be used here", remedy=_WRITE_IT_OUT
            )
        if tag is not None:
            self._fault(
                _start(event),
                "tag",
                f"a tag ({shown(tag.replace('tag:yaml.org,2002:', '!!'))}) cannot be used here",
                remedy="remove the tag; quote the value if it is text",
            )

    def _refuse_directives(self, start: DocumentStartEvent) -> None:
        if start.version or start.tags:
            self._fault(_start(start), "directive", "directives (`%`) cannot be used here", remedy="remove the line")

    def _count(self, mark: Place) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Unreadable(
                Fault(
                    mark.line,
                    mark.column,
                    "too-many-values",
                    f"this file holds more than {MAX_NODES:,} keys and values",
                    remedy="split it, or generate fewer entries",
                )
            )
        if len(self.faults) >= MAX_FAULTS:
            raise Unreadable(Fault(mark.line, mark.column, "more-problems", "there are more problems below this line"))

    def _fault(
        self, mark: Place, code: str, message: str, expected: str | None = None, remedy: str | None = None
    ) -> None:
        self._keep(Fault(mark.line, mark.column, code, message, expected, remedy))

    def _keep(self, fault: Fault) -> None:
        self.faults.append(replace(fault, confidential=self._confidential))


def _start(event: Any) -> Place:
    """PyYAML's annotations promise another kind of mark, or none."""
    mark: Place = event.start_mark
    return mark


_WRITE_IT_OUT: Final = "write the value out where it is needed"


def _too_deep(mark: Place) -> Fault:
    return Fault(
        mark.line,
        mark.column,
        "too-deep",
        f"lists and mappings nest deeper than {MAX_DEPTH} levels",
        remedy="flatten it",
    )


def _several_documents(mark: Place) -> Fault:
    return Fault(
        mark.line,
        mark.column,
        "several-documents",
        "a second document starts here; a file must be one mapping",
        remedy="remove the `---`, or move the rest into a file of its own",
    )
