"""One requirement as a person wrote it: read as plain PEP 508, or refused with its place and what to write instead.

What an installer would obey is refused: options, variables, paths, version control, and URLs of hosts that the operator
does not allow.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from reconciler.model.problem import Problem

WIDEST = 2_000
"""Characters of one line. The parser below takes time in proportion to it."""
DEEPEST = 20
"""Parentheses of one line. The parser below calls itself for each."""
SHOWN = 120

OPTION = re.compile(r"(?:^|(?<=\s))--?[A-Za-z][\w-]*")
HASH = re.compile(r"\s--hash[= ](\S+)")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
VARIABLE = re.compile(r"\$\{?\w+\}?")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
VERSION_CONTROL = re.compile(r"(?:git|hg|svn|bzr)(?:\+|@|://)", re.IGNORECASE)
LOCATION = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:", re.IGNORECASE)
PATH = re.compile(r"[./~\\]|[A-Za-z]:\\|[^\s;@=<>!]+(?:\.whl|\.tar\.gz|\.zip)$|[\w.-]+/")


@dataclass(frozen=True, slots=True)
class Piece:
    """A further line of the file, that goes on where the one before ended in a backslash."""

    start: int
    number: int
    column: int
    reads: str


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement as a person wrote it, and where."""

    text: str
    file: str | None = None
    number: int | None = None
    column: int = 1
    reads: str | None = None
    """The whole line as it stands in the file, where that is more than the requirement."""
    continued: tuple[Piece, ...] = ()

    def problem(self, code: str, message: str, remedy: str, *, at: int = 0, expected: str | None = None) -> Problem:
        number, column, reads = self.number, self.column + at, self.reads or self.text
        for piece in self.continued:
            if at >= piece.start:
                number, column, reads = piece.number, piece.column + at - piece.start, piece.reads
        place = column if number is not None else None
        return Problem(
            message, code, None, self.file, number, place, printable(reads), expected=expected, remedy=remedy
        )


class RefusedLine(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_line(line: Line, hosts: Collection[str], exact: bool) -> tuple[str, Requirement]:
    """One line to its canonical text, or the reason why not."""
    for check in (_check_characters, _check_variables, _check_options, _check_location):
        check(line)
    text = HASH.sub("", line.text)
    hashes = tuple(sorted({_hash(line, found) for found in HASH.finditer(line.text)}))
    parsed = _parse(line, text)
    _check_url(line, parsed, hosts)
    if exact:
        _check_exact(line, parsed, hashes)
    return "".join((_canonical(parsed), *(f" --hash={value}" for value in hashes))), parsed


def _check_characters(line: Line) -> None:
    if len(line.text) > WIDEST and len(HASH.sub("", line.text)) > WIDEST:
        raise RefusedLine(line.problem("too-long", f"the line has more than {WIDEST} characters", "Shorten it"))
    if found := UNPRINTABLE.search(line.text):
        message = f"the line holds the character U+{ord(found.group()):04X}"
        raise RefusedLine(line.problem("bad-character", message, "Remove it", at=found.start()))


def _check_variables(line: Line) -> None:
    if found := VARIABLE.search(line.text):
        message = f"`{found.group()}` is not replaced in requirements: they are public and the same everywhere"
        remedy = "Write the value itself; a secret cannot stand here"
        raise RefusedLine(line.problem("variable-not-allowed", message, remedy, at=found.start()))


def _check_options(line: Line) -> None:
    for found in OPTION.finditer(line.text):
        option = found.group()
        if option != "--hash" or found.start() == 0:
            message = f"the option `{option}` is not allowed in a service's requirements"
            raise RefusedLine(line.problem("option-not-allowed", message, _option_remedy(option), at=found.start()))


def _option_remedy(option: str) -> str:
    if option in ("-r", "--requirement", "-c", "--constraint"):
        return "Write the requirements of the other file here"
    if option in ("-e", "--editable"):
        return "Put the code into the service's folder, or `watch` a shared folder"
    if option in ("-i", "--index-url", "--extra-index-url", "--find-links", "-f", "--trusted-host", "--no-index"):
        return "Ask the operator: indexes are set for the whole server"
    return "Remove it; only names, versions, markers and --hash= may stand here"


def _check_location(line: Line) -> None:
    if VERSION_CONTROL.match(line.text):
        raise RefusedLine(_url_problem(line, "a repository is not a release"))
    if LOCATION.match(line.text):
        raise RefusedLine(_url_problem(line, "a bare URL is not a requirement"))
    if PATH.match(line.text):
        message = "a path is not a requirement: nothing outside the environment is installed from"
        raise RefusedLine(line.problem("path-not-allowed", message, "Publish it to an index, or `watch` the folder"))


def _check_url(line: Line, parsed: Requirement, hosts: Collection[str]) -> None:
    if not parsed.url:
        return
    at = line.text.find(parsed.url)
    try:
        parts = urlsplit(parsed.url)
        host = parts.hostname
    except ValueError:
        raise RefusedLine(_url_problem(line, "the URL cannot be read", at=at)) from None
    if parts.scheme != "https" or not host:
        raise RefusedLine(_url_problem(line, f"`{parts.scheme}:` is not allowed in a requirement", at=at))
    if parts.username or parts.password:
        raise RefusedLine(_url_problem(line, "a URL with a user or password would put a secret into git", at=at))
    if host not in hosts:
        raise RefusedLine(_url_problem(line, f"the operator does not allow requirements from {host}", at=at))


def _url_problem(line: Line, message: str, at: int = 0) -> Problem:
    remedy = "Name a release from the index: `name==version`; the operator may allow a host"
    return line.problem("url-not-allowed", message, remedy, at=max(at, 0))


def _check_exact(line: Line, parsed: Requirement, hashes: tuple[str, ...]) -> None:
    remedy = "Run `reconciler lock` and commit what it writes"
    operators = [specifier.operator for specifier in parsed.specifier]
    pinned = operators == ["=="] and not next(iter(parsed.specifier)).version.endswith(".*")
    if not pinned and not parsed.url:
        message = f"{parsed.name} is not pinned to one version"
        raise RefusedLine(line.problem("not-pinned", message, remedy, expected="name==version --hash=sha256:…"))
    if not hashes:
        message = f"{parsed.name} has no hash"
        raise RefusedLine(line.problem("hash-missing", message, remedy, expected="name==version --hash=sha256:…"))


def _hash(line: Line, found: re.Match[str]) -> str:
    value = found.group(1).lower()
    if DIGEST.fullmatch(value) is None:
        message = "this is not a hash of a known kind"
        remedy = "Write --hash=sha256: and 64 hexadecimal digits"
        raise RefusedLine(line.problem("bad-hash", message, remedy, at=found.start(1)))
    return value


def _parse(line: Line, text: str) -> Requirement:
    if text.count("(") > DEEPEST:
        message = f"this is not a requirement: it has more than {DEEPEST} parentheses"
        raise RefusedLine(line.problem("bad-requirement", message, "Simplify the marker"))
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        span = getattr(error.__cause__, "span", (0, 0))
        reason = str(getattr(error.__cause__, "message", None) or error).splitlines()[0]
        message = f"this is not a requirement: {reason[:1].lower()}{reason[1:]}"
        expected = "name>=1.2,<2; python_version>='3.11'"
        raise RefusedLine(
            line.problem("bad-requirement", message, "Write it as PEP 508 has it", at=span[0], expected=expected)
        ) from None


def _canonical(parsed: Requirement) -> str:
    parsed.name = canonicalize_name(parsed.name)
    parsed.extras = {canonicalize_name(extra) for extra in parsed.extras}
    return str(parsed)


def printable(text: str) -> str:
    shown = "".join(character if character.isprintable() else "�" for character in text)
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"
