"""The quick scanner sees what PyYAML's sees: the same events at the same places, or no YAML at all."""

import os
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yaml.events import ScalarEvent

from reconciler.model.position import HIDDEN
from reconciler.model.scanner import MAX_DEPTH, BoundedParser, TooDeep

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
PIECES = st.sampled_from(
    ["\n", "\n  ", "\n    ", " ", "  ", "- ", "-", ": ", ":", "? ", "?", "[", "]", "{", "}", ", ", ",", "#", " # c\n",
     "'", "''", '"', '\\"', "\\\\", "\\n", "\\x41", "\\u00e9", "\\\n", "|", "|-\n", ">\n", ">+2\n", "a", "b c", "1",
     "key: ", "key:\n", "- a\n", "---\n", "--- ", "...\n", "&a ", "*a", "!t ", "!!str ", "%", "@", "`", "\t", "~", "é"]
)  # fmt: skip


def told(events: Any) -> list[tuple[Any, ...]] | str:
    seen = []
    try:
        while (event := events.get_event()) is not None:
            value = (event.value, event.style, event.implicit) if isinstance(event, ScalarEvent) else ()
            mark = event.start_mark
            seen.append((type(event).__name__, mark.line, mark.column, *value))
    except (yaml.YAMLError, ValueError, IndexError):
        return "no YAML"
    return seen


@settings(
    max_examples=int(EXAMPLES or 300),
    derandomize=EXAMPLES is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_events_are_those_of_pyyaml(text: str) -> None:
    assert not HIDDEN.search(text)
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        assert told(BoundedParser(text)) == told(yaml.SafeLoader(text))


def test_depth_is_bounded_while_scanning() -> None:
    with pytest.raises(TooDeep):
        told(BoundedParser("[" * 1_000))
