"""Regular expressions that cannot hang anybody.

A suite is written by whoever may push, and is played on the event loop that serves everyone, so a pattern runs
on an engine whose time is linear in the text: Rust's `regex`, which the JSON Schema library brings along.
It has no look-around and no back-references; such a pattern is refused when the suite is read.
"""

from functools import lru_cache

import jsonschema_rs

LONGEST = 2_000
ENGINE = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 21)


class PatternError(ValueError):
    """A pattern that the engine does not take."""


class Pattern:
    __slots__ = ("_engine", "text")

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise PatternError(f"a pattern may have {LONGEST} characters; this one has {len(text)}")
        self.text = text
        try:
            self._engine = jsonschema_rs.validator_for({"pattern": text}, pattern_options=ENGINE)
        except (jsonschema_rs.ValidationError, ValueError):
            raise PatternError(
                f"`{text}` is not a pattern: it is malformed or too large, or uses look-around or back-references"
            ) from None

    def found_in(self, text: str) -> bool:
        try:
            return bool(self._engine.is_valid(str(text)))
        except ValueError:  # half of a surrogate pair, which the engine cannot read
            return False

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=1024)
def pattern(text: str) -> Pattern:
    return Pattern(text)
