"""What a service requires, read down to plain PEP 508.

A requirements file is a program: installers obey `--index-url` and `-r /etc/passwd` in it and expand
`${SECRET}` in its URLs. So no installer ever sees the file. It is read here, and only names, versions,
markers and hashes come out; every other word is refused, with its place and what to write instead.
Nothing is looked up: whether a package exists is not this module's business.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Never

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from reconciler.model.digest import fingerprint
from reconciler.model.failure import Reason, Stalled
from reconciler.model.problem import Problem
from reconciler.model.requirement_line import Line, Piece, RefusedLine, printable, read_line

COMMENT = re.compile(r"(?:^|\s)#.*$")


@dataclass(frozen=True, slots=True)
class Size:
    """How much of a file is read before it is refused whole."""

    octets: int
    lines: int


WRITTEN = Size(octets=256 * 1024, lines=2_000)
LOCKED = Size(octets=4 * 1024 * 1024, lines=40_000)
"""A lock names every file of every release: FastAPI and uvicorn alone are 550 lines, some packages 150 each."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a service asks for, in an order of its own, so that equal wishes are equal values."""

    lines: tuple[str, ...] = ()
    """PEP 508, each with the hashes it allows: `httpx==0.28.1 --hash=sha256:…`."""
    exact: bool = False
    """Every line is pinned and hashed, and nothing else may be installed on the service's account."""
    python: str | None = None
    """The versions of Python it runs on, as `requires-python` says it."""
    origin: tuple[Line, ...] = field(default=(), compare=False, repr=False)

    @property
    def key(self) -> str:
        return fingerprint({"lines": self.lines, "exact": self.exact, "python": self.python})[:32]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for line in self.lines for name in _name_of(line))

    def accepts(self, python: str) -> bool:
        return self.python is None or SpecifierSet(self.python).contains(python, prereleases=True)

    def named(self, names: Iterable[str]) -> Line | None:
        """Where the first of these that was asked for was asked for."""
        lines = {name: line for line in self.origin for name in _name_of(line.text)}
        return next((lines[name] for name in map(canonicalize_name, names) if name in lines), None)


def from_list(lines: Iterable[Line | str], *, hosts: Collection[str] = ()) -> Requirements:
    """Read the manifest's own list."""
    written = tuple(line if isinstance(line, Line) else Line(line) for line in lines)
    return _requirements(written, hosts)


def from_text(content: bytes, file: str, *, hosts: Collection[str] = ()) -> Requirements:
    """Read a requirements.txt."""
    return _requirements(tuple(_logical_lines(_decode(content, file, WRITTEN), file)), hosts)


def from_lock(content: bytes, file: str, *, hosts: Collection[str] = ()) -> Requirements:
    """Read a service.lock: a requirements.txt in which every line is pinned and hashed."""
    return _requirements(tuple(_logical_lines(_decode(content, file, LOCKED), file)), hosts, exact=True)


def from_pyproject(content: bytes, file: str, *, hosts: Collection[str] = ()) -> Requirements:
    """Read `dependencies` and `requires-python` of the `[project]` table, and nothing else."""
    text = _decode(content, file, WRITTEN)
    project = _project(text, file)
    dependencies = project.get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(entry, str) for entry in dependencies):
        _refuse(
            [_about(file, "wrong-type", "`project.dependencies` is not a list of strings", "Write one string each")]
        )
    python = _python(project.get("requires-python"), text, file)
    return _requirements(tuple(_entries(dependencies, text, file)), hosts, python=python)


def split_hashes(line: str) -> tuple[str, tuple[str, ...]]:
    """The PEP 508 part of a line of `Requirements`, and its hashes."""
    text, *hashes = line.split(" --hash=")
    return text, tuple(hashes)


def _requirements(
    written: tuple[Line, ...], hosts: Collection[str], *, exact: bool = False, python: str | None = None
) -> Requirements:
    problems: list[Problem] = []
    read: dict[str, tuple[Requirement, Line]] = {}
    for line in written:
        try:
            text, parsed = read_line(line, hosts, exact)
        except RefusedLine as refused:
            problems.append(refused.problem)
        else:
            read.setdefault(text, (parsed, line))
    problems += _contradictions(read.values())
    if problems:
        _refuse(problems)
    ordered = sorted(read.items())
    return Requirements(tuple(text for text, _ in ordered), exact, python, tuple(line for _, (_, line) in ordered))


def _contradictions(read: Iterable[tuple[Requirement, Line]]) -> Iterator[Problem]:
    """The same package, asked for twice in two ways, where both would count."""
    seen: dict[tuple[str, str], tuple[Requirement, Line]] = {}
    for parsed, line in sorted(read, key=lambda pair: pair[1].number or 0):
        first, where = seen.setdefault((parsed.name, str(parsed.marker)), (parsed, line))
        if (first.specifier, first.url) != (parsed.specifier, parsed.url):
            place = f" in line {where.number}" if where.number is not None else ""
            message = f"{parsed.name} is required twice: `{_demand(first)}`{place} and `{_demand(parsed)}` here"
            yield line.problem("duplicate-requirement", message, "Keep one line that says both")


def _demand(parsed: Requirement) -> str:
    return parsed.url or str(parsed.specifier) or "any version"


def _decode(content: bytes, file: str, size: Size) -> str:
    if len(content) > size.octets:
        _refuse([_about(file, "too-large", f"the file is larger than {size.octets // 1024} kB", "Shorten it")])
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        _refuse([_about(file, "bad-encoding", "the file is UTF-16", "Save it as UTF-8")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        message = f"the file is not UTF-8: byte 0x{content[error.start]:02x}"
        _refuse([_about(file, "bad-encoding", message, "Save it as UTF-8", number)])
    if "\x00" in text:
        number = text.count("\n", 0, text.index("\x00")) + 1
        _refuse([_about(file, "bad-character", "the file holds a NUL", "Remove it", number)])
    if text.count("\n") > size.lines:
        _refuse([_about(file, "too-many-lines", f"the file has more than {size.lines} lines", "Shorten it")])
    return text


def _logical_lines(text: str, file: str) -> Iterator[Line]:
    """Lines without comments; one that ends in a backslash goes on in the next."""
    begun: list[tuple[str, Piece]] = []
    for number, raw in enumerate(text.split("\n"), 1):
        reads = raw.rstrip("\r")
        words = COMMENT.sub("", reads.removesuffix("\\")).strip()
        if words:
            begun.append((words, Piece(0, number, reads.index(words) + 1, reads)))
        if begun and not reads.endswith("\\"):
            yield _joined(begun, file)
            begun = []
    if begun:
        yield _joined(begun, file)


def _joined(begun: Sequence[tuple[str, Piece]], file: str) -> Line:
    pieces = []
    start = 0
    for words, piece in begun:
        pieces.append(replace(piece, start=start))
        start += len(words) + 1
    first, *further = pieces
    text = " ".join(words for words, _ in begun)
    return Line(text, file, first.number, first.column, first.reads, tuple(further))


def _project(text: str, file: str) -> Mapping[str, object]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        _refuse([_about(file, "bad-toml", str(error), "Mend the TOML", int(found.group(1)) if found else None)])
    except (RecursionError, ValueError):
        _refuse([_about(file, "bad-toml", "the file cannot be read as TOML", "Mend the TOML")])
    project = document.get("project")
    if not isinstance(project, dict):
        remedy = "Add `[project]` with `dependencies`; other tables are not read"
        _refuse([_about(file, "no-project", "there is no `[project]` table", remedy)])
    dynamic = project.get("dynamic", [])
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        place = _line_with(text, lambda line: "dynamic" in line)
        remedy = "List them under `[project] dependencies`; nothing of the service runs to find them out"
        _refuse([_about(file, "dynamic-dependencies", "the dependencies are dynamic", remedy, place)])
    return project


def _python(wanted: object, text: str, file: str) -> str | None:
    if wanted is None:
        return None
    try:
        return str(SpecifierSet(wanted if isinstance(wanted, str) else "?"))
    except InvalidSpecifier:
        place = _line_with(text, lambda line: "requires-python" in line)
        message = f"`requires-python` is not a version specifier: {printable(str(wanted))}"
        _refuse([_about(file, "bad-python", message, "Write for example `>=3.11`", place)])


def _entries(dependencies: list[str], text: str, file: str) -> Iterator[Line]:
    for entry in dependencies:
        number = _line_with(text, lambda line, entry=entry: f'"{entry}"' in line or f"'{entry}'" in line)  # type: ignore[misc]
        column = text.split("\n")[number - 1].index(entry) + 1 if number is not None else 1
        yield Line(entry.strip(), file, number, column)


def _line_with(text: str, holds: Callable[[str], bool]) -> int | None:
    return next((number for number, line in enumerate(text.split("\n"), 1) if holds(line)), None)


def _about(file: str, code: str, message: str, remedy: str, number: int | None = None) -> Problem:
    return Problem(message, code, file=file, line=number, remedy=remedy)


def _refuse(problems: Sequence[Problem]) -> Never:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    where = f"{first.place}: " if first.place else ""
    raise Stalled(Reason.REQUIREMENTS_FAILED, f"{where}{first.message}{more}", problems=tuple(problems))


def _name_of(text: str) -> tuple[str, ...]:
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)
    return (canonicalize_name(found.group()),) if found else ()
