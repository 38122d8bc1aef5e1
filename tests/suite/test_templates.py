from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.suite.template import TemplateError, Undefined, literal, template

SCOPE = {"n": 5, "s": "x y", "b": True, "o": {"id": 7, "tags": ["a", "b"]}, "none": None, "made": {"up": lambda: "now"}}


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        pytest.param("plain", "plain", id="a text without references stays"),
        pytest.param("${n}", 5, id="one reference alone keeps its type"),
        pytest.param("${o}", {"id": 7, "tags": ["a", "b"]}, id="also when it is an object"),
        pytest.param("no ${n}", "no 5", id="inside a text it is written as text"),
        pytest.param("${b}/${none}", "true/null", id="as JSON writes it"),
        pytest.param("<${o}>", '<{"id":7,"tags":["a","b"]}>', id="objects too"),
        pytest.param("${o.id}", 7, id="members after a dot"),
        pytest.param("${o.tags.1}", "b", id="positions after a dot"),
        pytest.param("${ n }", 5, id="blanks around the name"),
        pytest.param("$${n}", "${n}", id="a doubled dollar is a literal one"),
        pytest.param("$5 and $", "$5 and $", id="a dollar alone means nothing"),
        pytest.param({"a": ["${n}", {"${s}": 1}]}, {"a": [5, {"x y": 1}]}, id="anywhere in a value, keys included"),
        pytest.param("${made.up}", "now", id="some are made when they are asked for"),
        pytest.param(5, 5, id="other values stay"),
    ],
)
def test_filled_in(written: Any, filled: Any) -> None:
    assert template(written).render(SCOPE) == filled


@pytest.mark.parametrize("written", ["${}", "${a b}", "${a..b}", "${1}", "${a", "x ${a.} y", ["${-}"]])
def test_a_malformed_reference_is_refused(written: Any) -> None:
    with pytest.raises(TemplateError):
        template(written)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("${gone}", r"\$\{gone\} is not defined"),
        ("${o.gone}", "no `gone`"),
        ("${o.tags.9}", "no `9`"),
        ("${n.x}", "no `x`"),
    ],
)
def test_an_undefined_reference_says_what_is_missing(written: str, told: str) -> None:
    with pytest.raises(Undefined, match=told):
        template(written).render(SCOPE)


def test_references_are_known_before_playing() -> None:
    found = template({"a": "${x}/${y.z}", "b": ["${x}"]}).references
    assert [reference.text for reference in found] == ["x", "y.z", "x"]


def test_a_value_that_is_nested_without_end_is_refused() -> None:
    value: Any = "x"
    for _ in range(100):
        value = [value]
    with pytest.raises(TemplateError, match="deep"):
        template(value)


@given(st.text())
def test_any_text_can_be_protected(text: str) -> None:
    assert template(literal(text)).render({}) == text


@given(st.recursive(st.integers() | st.text() | st.none(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_one_reference_gives_back_exactly_what_was_captured(value: Any) -> None:
    assert template("${v}").render({"v": value}) == value
