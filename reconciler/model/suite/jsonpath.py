"""RFC 9535 JSONPath, compiled once, strict, and bounded in what it may cost.

`$..[?count($..*) > 0]` over a large response visits the square of its nodes, and `match()` takes a pattern out of
the document itself; both would hang whoever plays the suite. Every visited node is therefore counted, and
patterns run on the linear engine. Refuses to extend the language: what is not in the RFC is an error.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

from jsonpath import JSONPathEnvironment, JSONPathError, JSONPathMatch
from jsonpath.filter import FilterQuery, walk
from jsonpath.function_extensions import ExpressionType, FilterFunction
from jsonpath.path import JSONPath
from jsonpath.selectors import Filter

from reconciler.model.suite.pattern import PatternError, pattern

VISITS = 50_000
"""Nodes that one evaluation may visit: a quarter of a second on a slow core."""
LONGEST = 1_000


class PathError(ValueError):
    """Not a JSONPath, or one that costs too much on this document."""


class Allowance(dict[str, object]):
    """Travels as the library's filter context, since that reaches every node and every nested query."""

    def __init__(self) -> None:
        super().__init__(visits=VISITS)  # an empty context would be replaced by the library
        self.left = VISITS


class CountedMatch(JSONPathMatch):
    __slots__ = ()

    def __init__(self, *, filter_context: Mapping[str, Any], **node: Any) -> None:
        super().__init__(filter_context=filter_context, **node)
        if isinstance(filter_context, Allowance):
            filter_context.left -= 1
            if filter_context.left < 0:
                raise PathError(f"the path visits more than {VISITS} nodes of this response")


class CountedQuery(JSONPath):
    """The library's query, starting from a node that counts; its own start node ignores `match_class`."""

    __slots__ = ()

    def finditer(self, data: Any, *, filter_context: Mapping[str, Any] | None = None) -> Iterable[JSONPathMatch]:
        matches: Iterable[JSONPathMatch] = [
            CountedMatch(filter_context=filter_context or {}, obj=data, parent=None, path="$", parts=(), root=data)
        ]
        for segment in self.segments:
            matches = segment.resolve(matches)
        return matches


class LinearSearch(FilterFunction):
    """`search()` and `match()` of the RFC on the linear engine; a bad pattern is false, as it prescribes."""

    arg_types: ClassVar[list[ExpressionType]] = [ExpressionType.VALUE, ExpressionType.VALUE]
    return_type = ExpressionType.LOGICAL

    def __init__(self, whole: bool) -> None:
        self._form = r"\A(?:{})\z" if whole else "{}"

    def __call__(self, value: object, text: object) -> bool:
        if not isinstance(value, str) or not isinstance(text, str):
            return False
        try:
            return pattern(self._form.replace("{}", text)).found_in(value)
        except PatternError:
            return False


class Strict(JSONPathEnvironment):
    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["match"] = LinearSearch(whole=True)
        self.function_extensions["search"] = LinearSearch(whole=False)


STRICT = Strict(strict=True)


class Path:
    __slots__ = ("_query", "single", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._query = _compile(text)
        self.single = self._query.singular_query()
        """At most one node can match, so that the node itself is meant and not a list of nodes."""

    def find(self, document: Any) -> list[object]:
        try:
            return [match.obj for match in self._query.finditer(document, filter_context=Allowance())]
        except (JSONPathError, RecursionError) as error:
            raise PathError(f"{self.text}: {error}") from None

    def __repr__(self) -> str:
        return f"Path({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=4096)
def path(text: str) -> Path:
    return Path(text)


def _compile(text: str) -> JSONPath:
    if len(text) > LONGEST:
        raise PathError(f"a path may have {LONGEST} characters; this one has {len(text)}")
    try:
        query = STRICT.compile(text)
    except (JSONPathError, RecursionError) as error:
        raise PathError(f"`{text}` is not a JSONPath: {_first_line(error)}") from None
    if not isinstance(query, JSONPath):
        raise PathError(f"`{text}` joins several paths, which RFC 9535 does not know")
    _count(query)
    return query


def _count(query: JSONPath) -> None:
    query.__class__ = CountedQuery
    for segment in query.segments:
        for selector in segment.selectors:
            if isinstance(selector, Filter):
                for expression in walk(selector.expression):
                    if isinstance(expression, FilterQuery):
                        _count(expression.path)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
