"""PyYAML's scanner, bounded and quick enough for files that strangers wrote.

Only the pure Python scanner is used: the C one overflows its stack on deep nesting and takes the process
with it. What is common in manifests (comments, blank lines, one-line plain scalars) is read by regular
expressions that cannot backtrack; whatever is rarer goes to PyYAML unchanged. Refuses to construct
values: it gives events.
"""

import re
from typing import Any

from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner, ScannerError, SimpleKey
from yaml.tokens import ScalarToken, Token

MAX_DEPTH = 32

_GAP = re.compile(r"(?> *+(?:#[^\n\0]*+)?\n)*+ *+(?:#[^\n\0]*+)?")
_WORD = r"(?>[^\0 \t\n:]|:(?![\0 \t\n]))++"
_FLOW_WORD = r"(?>[^\0 \t\n:,?\[\]{}]|:(?![\0 \t\n,\[\]{}]))++"
_BLOCK_PLAIN = re.compile(rf"{_WORD}(?> ++(?!#){_WORD})*+")
_FLOW_PLAIN = re.compile(rf"{_FLOW_WORD}(?> ++(?!#){_FLOW_WORD})*+")
_QUOTED = {
    '"': re.compile(r'"((?>[^"\\\n\0]++|\\[^\n\0])*+)"'),
    "'": re.compile(r"'([^'\n\0]*+)'(?!')"),
}
_TAG = re.compile(r"!\S{0,200}+(?!\S)")
_ESCAPE = re.compile(r"\\.")
_BLANKS = re.compile(r" *+")
_NEXT_LINE = re.compile(r"\n[ \n]*+")


class Place:
    """What PyYAML calls a mark: line and column, counted from 0, without a copy of the text around them."""

    __slots__ = ("column", "line")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column


class TooDeep(Exception):
    """Brackets nest deeper than any manifest needs; raised before PyYAML looks at the rest."""

    def __init__(self, place: Place) -> None:
        super().__init__("too deep")
        self.place = place


class BoundedParser(Reader, Scanner, Parser):
    """Events of a text whose lines end in `\\n` and that holds no hidden characters."""

    buffer: str
    pointer: int
    index: int
    line: int
    column: int
    flow_level: int
    done: bool
    tokens: list[Token]
    tokens_taken: int
    possible_simple_keys: dict[int, SimpleKey]
    indent: int
    allow_simple_key: bool

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)

    def peek(self, index: int = 0) -> str:
        return self.buffer[self.pointer + index]

    def prefix(self, length: int = 1) -> str:
        return self.buffer[self.pointer : self.pointer + length]

    def get_mark(self) -> Any:
        return Place(self.line, self.column)

    def check_token(self, *choices: Any) -> bool:
        while self.need_more_tokens():
            self.fetch_more_tokens()
        return bool(self.tokens) and (not choices or isinstance(self.tokens[0], choices))

    def need_more_tokens(self) -> bool:
        if self.done:
            return False
        if not self.tokens:
            return True
        if not self.possible_simple_keys:
            return False
        self.stale_possible_simple_keys()
        return any(key.token_number == self.tokens_taken for key in self.possible_simple_keys.values())

    def fetch_more_tokens(self) -> None:
        """The tokens that most files are made of, without asking twenty questions first."""
        self.scan_to_next_token()
        if self.possible_simple_keys:
            self.stale_possible_simple_keys()
        if not self.flow_level:
            self.unwind_indent(self.column)
        character = self.buffer[self.pointer]
        if character.isalnum():
            self.fetch_plain()
        elif character == ",":
            self.fetch_flow_entry()
        elif character == ":" and self.check_value():
            self.fetch_value()
        else:
            Scanner.fetch_more_tokens(self)

    def forward(self, length: int = 1) -> None:
        start = self.pointer
        self.pointer = self.index = end = start + length
        breaks = self.buffer.count("\n", start, end)
        if breaks:
            self.line += breaks
            self.column = end - self.buffer.rfind("\n", start, end) - 1
        else:
            self.column += length

    def scan_line_break(self) -> str:
        if self.buffer[self.pointer] != "\n":
            return ""
        self.pointer = self.index = self.pointer + 1
        self.line += 1
        self.column = 0
        return "\n"

    def scan_to_next_token(self) -> None:
        before = self.line
        self.forward(_end(_GAP, self.buffer, self.pointer) - self.pointer)
        if self.line != before and not self.flow_level:
            self.allow_simple_key = True

    def scan_plain(self) -> ScalarToken:
        match = (_FLOW_PLAIN if self.flow_level else _BLOCK_PLAIN).match(self.buffer, self.pointer)
        if match is None or self._goes_on_below(match.end()):
            return Scanner.scan_plain(self)
        start = self.get_mark()
        self.allow_simple_key = False
        self.forward(match.end() - self.pointer)
        return ScalarToken(match.group(), True, start, self.get_mark())

    def scan_flow_scalar(self, style: str) -> ScalarToken:
        match = _QUOTED[style].match(self.buffer, self.pointer)
        text = match and (match[1] if style == "'" else _unescaped(match[1]))
        if match is None or text is None:
            return Scanner.scan_flow_scalar(self, style)
        start = self.get_mark()
        self.forward(match.end() - self.pointer)
        return ScalarToken(text, False, start, self.get_mark(), style)

    def fetch_tag(self) -> None:
        """Every tag is refused in the end; a long one before PyYAML reads it letter by letter."""
        if not _TAG.match(self.buffer, self.pointer):
            raise ScannerError(None, None, "a tag is too long", self.get_mark())
        Scanner.fetch_tag(self)

    def fetch_flow_collection_start(self, token_class: type[Token]) -> None:
        """The scanner reads ahead of the events that carry the depth, and its cost grows with the square of it."""
        if self.flow_level >= MAX_DEPTH:
            raise TooDeep(self.get_mark())
        Scanner.fetch_flow_collection_start(self, token_class)

    def _goes_on_below(self, end: int) -> bool:
        """Does a plain scalar that fills the rest of its line continue on the next one?"""
        below = _NEXT_LINE.match(self.buffer, _end(_BLANKS, self.buffer, end))
        if below is None:
            return False
        if self.flow_level:
            return True
        first = below.end()
        column = first - self.buffer.rfind("\n", 0, first) - 1
        return column > self.indent and self.buffer[first] not in "#\0"


def _unescaped(text: str) -> str | None:
    """The text behind one-letter escapes; None where it has others, which PyYAML reads and explains."""
    if "\\" not in text:
        return text
    try:
        return _ESCAPE.sub(lambda escape: Scanner.ESCAPE_REPLACEMENTS[escape[0][1]], text)
    except KeyError:
        return None


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start
