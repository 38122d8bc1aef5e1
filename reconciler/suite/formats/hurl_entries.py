"""A `.hurl` file cut into entries: request line, sections and bodies, each with the line it stands on.

Only the shape is read here. Comments directly above a request name it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

REQUEST: Final = re.compile(r"([A-Z]+) +(\S.*?)\s*(?:#.*)?")
RESPONSE: Final = re.compile(r"HTTP(?:/([0-9.]+))? +(\*|[0-9]{3})\s*(?:#.*)?")
SECTION: Final = re.compile(r"\[([A-Z]\w+)\]\s*(?:#.*)?")
PAIR: Final = re.compile(r"((?:[^:\\#]|\\.)+?)\s*:\s*(.*)")
STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"')
COMMENT: Final = re.compile(r"(?<!\S)#.*")


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    """Counted from 1."""
    text: str


@dataclass(slots=True)
class Message:
    """A request or a response: its first line, headers, sections and body."""

    first: Line
    headers: list[Line] = field(default_factory=list)
    sections: list[tuple[Line, str, list[Line]]] = field(default_factory=list)
    body: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    name: str | None
    request: Message
    response: Message | None = None


class Misplaced(ValueError):
    """A line that belongs to nothing."""

    def __init__(self, line: Line) -> None:
        super().__init__(line.text.strip()[:80])
        self.line = line


def entries(text: str) -> list[Entry]:
    found: list[Entry] = []
    comment: str | None = None
    message: Message | None = None
    for line in _logical_lines(text):
        stripped = line.text.strip()
        if not stripped:
            comment = None
        elif stripped.startswith("#"):
            comment = stripped.lstrip("# ").strip() or None
        elif RESPONSE.fullmatch(stripped) and found:
            message = found[-1].response = Message(line)
        elif REQUEST.fullmatch(stripped):
            message = Message(line)
            found.append(Entry(comment, message))
        elif message is None:
            raise Misplaced(line)
        else:
            _add(message, line, stripped)
    return found


def pair(line: Line) -> tuple[str, str]:
    """`key: value` of a header or a section."""
    found = PAIR.fullmatch(line.text.strip())
    if found is None:
        raise Misplaced(line)
    return re.sub(r"\\(.)", r"\1", found[1]), COMMENT.sub("", found[2]).strip()


def _add(message: Message, line: Line, stripped: str) -> None:
    if message.body:
        raise Misplaced(line)
    if section := SECTION.fullmatch(stripped):
        message.sections.append((line, section[1], []))
    elif _is_body(line.text):
        message.body.append(line)
    elif message.sections:
        message.sections[-1][2].append(line)
    else:
        message.headers.append(line)


def _is_body(text: str) -> bool:
    start = text.lstrip()
    return start.startswith(("{", "[", "`", "<")) or re.match(r"(base64|hex|file),", start) is not None


def _logical_lines(text: str) -> Iterator[Line]:
    """Lines, with every body (JSON, XML, a fenced text) joined to the line it begins on."""
    lines = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        end = _end(lines, at)
        yield Line(at + 1, "\n".join(lines[at:end]))
        at = end


def _end(lines: list[str], at: int) -> int:
    start = lines[at].lstrip()
    if start.startswith("```"):
        return _end_of_fence(lines, at)
    if start.startswith(("{", "[")) and not SECTION.fullmatch(start.strip()):
        return _end_of_json(lines, at)
    if start.startswith("<"):
        return next((number for number in range(at + 1, len(lines)) if not lines[number].strip()), len(lines))
    return at + 1


def _end_of_fence(lines: list[str], at: int) -> int:
    if lines[at].strip().count("```") > 1:
        return at + 1
    closing = (number + 1 for number in range(at + 1, len(lines)) if lines[number].rstrip().endswith("```"))
    return next(closing, len(lines))


def _end_of_json(lines: list[str], at: int) -> int:
    depth = 0
    for number in range(at, len(lines)):
        bare = STRING.sub("", lines[number])
        depth += len(re.findall(r"[{\[]", bare)) - len(re.findall(r"[}\]]", bare))
        if depth <= 0:
            return number + 1
    return len(lines)
