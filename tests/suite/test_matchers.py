from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.suite.matcher import MISSING, MatcherError, Nodes, Text, is_equal, matcher

HOLDS: list[tuple[str, Any, Any]] = [
    ("a plain value means equal", 5, 5),
    ("an integer equals the same number as a decimal", 1, 1.0),
    ("text equals itself", "open", "open"),
    ("a list is compared in order", [1, 2], [1, 2]),
    ("an object is written under equals", {"equals": {"a": [1]}}, {"a": [1]}),
    ("null is a value", None, None),
    ("not", {"not": 5}, 6),
    ("not with a matcher", {"not": {"contains": "x"}}, "abc"),
    ("less than", {"lt": 5}, 4),
    ("less or equal", {"le": 5}, 5),
    ("greater than", {"gt": 5}, 5.5),
    ("greater or equal", {"ge": 5}, 5),
    ("texts have an order", {"lt": "2026-02-01"}, "2026-01-31"),
    ("several matchers must all hold", {"gt": 1, "lt": 3}, 2),
    ("a text contains a text", {"contains": "docs"}, "the docs"),
    ("a list contains an item", {"contains": {"id": 1}}, [{"id": 1}, {"id": 2}]),
    ("an object contains members", {"contains": {"id": 1}}, {"id": 1, "more": True}),
    ("an object contains a key", {"contains": "id"}, {"id": 1}),
    ("matches looks anywhere", {"matches": "b+"}, "abbc"),
    ("matches can be anchored", {"matches": "^application/json"}, "application/json; charset=utf-8"),
    ("starts with", {"starts_with": "ab"}, "abc"),
    ("type integer", {"type": "integer"}, 5),
    ("a whole decimal is an integer", {"type": "integer"}, 5.0),
    ("an integer is a number", {"type": "number"}, 5),
    ("one of several types", {"type": ["string", "null"]}, None),
    ("type array", {"type": "array"}, []),
    ("count of a list", {"count": 2}, [1, 2]),
    ("count of a text", {"count": 3}, "abc"),
    ("count with a matcher", {"count": {"ge": 1}}, [1]),
    ("in", {"in": [1, 2]}, 2),
    ("exists", "exists", None),
    ("exists false", {"exists": False}, MISSING),
    ("absent", "absent", MISSING),
    ("absent false", {"absent": False}, 0),
    ("not exists", {"not": {"exists": True}}, MISSING),
    ("the word absent as a value", {"equals": "absent"}, "absent"),
    ("a header spells its number", 12, Text("12")),
    ("a header is compared as a number", {"gt": 3}, Text("12")),
    ("all nodes are of a type", {"type": "integer"}, Nodes([1, 2])),
    ("all nodes equal one value", "open", Nodes(["open", "open"])),
    ("all nodes equal a list", [1, 2], Nodes([1, 2])),
    ("nodes are counted together", {"count": 2}, Nodes([1, 2])),
    ("no nodes are counted too", {"count": 0}, Nodes([])),
    ("one node is contained", {"contains": 2}, Nodes([1, 2])),
    ("no node is what they must not be", {"not": 3}, Nodes([1, 2])),
    ("none of the nodes is contained", {"not": {"contains": 3}}, Nodes([1, 2])),
    ("no nodes are absent", "absent", Nodes([])),
]
DOES_NOT: list[tuple[str, Any, Any]] = [
    ("true is not 1", 1, True),
    ("1 is not true", True, 1),
    ("a number in quotes is another value", "1", 1),
    ("nothing equals nothing", None, MISSING),
    ("what is not there is not anything else either", {"not": 5}, MISSING),
    ("less than itself", {"lt": 5}, 5),
    ("a text has no order with a number", {"lt": 5}, "4"),
    ("true has no order", {"gt": 0}, True),
    ("one of several matchers fails", {"gt": 1, "lt": 3}, 3),
    ("not", {"not": 5}, 5),
    ("matches needs a text", {"matches": "5"}, 5),
    ("a decimal is no integer", {"type": "integer"}, 5.5),
    ("true is no integer", {"type": "integer"}, True),
    ("count of a number", {"count": 1}, 7),
    ("in", {"in": ["1"]}, 1),
    ("exists", "exists", MISSING),
    ("absent means not even null", "absent", None),
    ("one node is of another type", {"type": "integer"}, Nodes([1, "2"])),
    ("no node at all has no type", {"type": "integer"}, Nodes([])),
    ("one node is what they must not be", {"not": 2}, Nodes([1, 2])),
    ("a header that spells no number has no order", {"gt": 3}, Text("many")),
]
REFUSED: list[tuple[str, Any, str]] = [
    ("an unknown word", {"contians": 5}, "contians"),
    ("an empty mapping", {}, "matches nothing in particular"),
    ("a pattern that is malformed", {"matches": "("}, "is not a pattern"),
    ("look-around", {"matches": "(?=a)"}, "look-around"),
    ("back-references", {"matches": r"(a)\1"}, "back-references"),
    ("a pattern that is enormous", {"matches": "(?:a{1000}){1000}"}, "too large"),
    ("a pattern that is a number", {"matches": 5}, "quotes"),
    ("an unknown type", {"type": "int"}, "the types are"),
    ("a count of a text", {"count": "many"}, "is a number"),
    ("a count that starts with something", {"count": {"starts_with": "1"}}, "says nothing about one"),
    ("in without a list", {"in": 5}, "a list of values"),
    ("exists maybe", {"exists": "maybe"}, "true or false"),
    ("less than a list", {"lt": [1]}, "a number or a text"),
]


@pytest.mark.parametrize(("written", "got"), [row[1:] for row in HOLDS], ids=[row[0] for row in HOLDS])
def test_it_holds(written: Any, got: Any) -> None:
    assert matcher(written).holds(got, {})


@pytest.mark.parametrize(("written", "got"), [row[1:] for row in DOES_NOT], ids=[row[0] for row in DOES_NOT])
def test_it_does_not_hold(written: Any, got: Any) -> None:
    assert not matcher(written).holds(got, {})


@pytest.mark.parametrize(("written", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_can_never_be_judged_is_refused(written: Any, told: str) -> None:
    with pytest.raises(MatcherError, match=told):
        matcher(written)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("x", '"x"'),
        (5, "5"),
        ({"gt": 1, "lt": 3}, "> 1 and < 3"),
        ({"not": "x"}, 'not "x"'),
        ({"count": {"ge": 1}}, "count >= 1"),
        ({"matches": "^a"}, 'matches "^a"'),
        ("absent", "absent"),
        ({"exists": False}, "not exists"),
    ],
)
def test_a_matcher_reads_as_a_person_would_say_it(written: Any, told: str) -> None:
    assert matcher(written).text({}) == told


def test_a_matcher_is_filled_in() -> None:
    held = matcher({"equals": "${wanted}", "type": "${kind}"})
    assert held.holds(5, {"wanted": 5, "kind": "integer"})
    assert not held.holds("5", {"wanted": 5, "kind": "integer"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.sampled_from([0.5, 1.0]) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON)
def test_equality_is_jsons(one: Any, other: Any) -> None:
    assert is_equal(one, one)
    assert is_equal(one, other) == is_equal(other, one)


@given(JSON)
def test_a_value_and_its_denial_never_hold_together(value: Any) -> None:
    assert matcher({"equals": _literal(value)}).holds(value, {})
    assert not matcher({"not": {"equals": _literal(value)}}).holds(value, {})


def _literal(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return {_literal(key): _literal(item) for key, item in value.items()} if isinstance(value, dict) else value
