"""What uv's words mean for whoever wrote the requirements, and what should happen next.

uv explains itself well, in English and without codes; its sentences are recognised here, in one table, and
kept as the detail. What nobody recognises is taken to be a trouble of the moment when uv says it could not
work (exit code 2), and a trouble of the requirements when it says they have no solution (1).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.environment.command import Ran
from reconciler.environment.failures import disk_full, stalled, wait
from reconciler.model.failure import Failure
from reconciler.model.requirement import Requirements

DETAIL, HEAD, GAP = 2_000, 1_200, "\n         […]\n"
"""The beginning says what was missing, the end what cannot be; the middle is how uv got there."""
LONGEST = 300
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
CHATTER = re.compile(
    r"^(?:Using Python|Using CPython|Creating virtual|Resolved \d|Prepared \d|Downloading | Downloaded ).*\n?", re.M
)
CREDENTIALS = re.compile(r"(://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Explanation:
    code: str
    failure: Failure
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rule:
    code: str
    sign: re.Pattern[str]
    """Its first group, where it has one, finds the packages."""
    message: str
    remedy: str
    passes: bool = False
    """The same attempt may succeed later."""


def _rule(code: str, sign: str, message: str, remedy: str, *, passes: bool = False) -> _Rule:
    return _Rule(code, re.compile(sign), message, remedy, passes)


UNREACHABLE = "See whether the index is up and reachable from this machine; it is asked again by itself"
RULES = (
    _rule(
        "hash-mismatch",
        r"Hash mismatch for `([^`=]+)",
        "what the index sent for {packages} is not what the hash promises",
        "Find out why the file changed before you run `reconciler lock` again",
    ),
    _rule(
        "hash-missing",
        r"all requirements must have a hash.* provided for: ([^\s=]+)",
        "{packages} has no hash",
        "Run `reconciler lock` and commit what it writes",
    ),
    _rule(
        "index-unavailable",
        r"lack of valid authentication|40[13] (?:Forbidden|Unauthorized)",
        "the package index refuses our access",
        "Check the credentials in the server's index address",
        passes=True,
    ),
    _rule(
        "file-withdrawn",
        r"HTTP status client error \((?:404|410)[^)]*\)",
        "the index lists a file that it no longer has",
        "Choose another version",
    ),
    _rule(
        "build-failed",
        r"Failed to (?:download and )?build `([^`=@ ]+)",
        "{packages} could not be built from source",
        "Choose a version that has a wheel for this Python and platform",
    ),
    _rule(
        "no-wheel",
        r"([A-Za-z0-9][\w.-]*?)(?:[=<>!~]\S+)? has no usable wheels and (?:only |you require |(?:all versions of )?"
        r"\S+ depends? on )\1\b",
        "{packages} has no wheel for this Python and platform, and building it would run its code",
        "Choose a version that has a wheel, or let the operator start the server with --allow-builds {first}",
    ),
    _rule(
        "no-wheel",
        r"([A-Za-z0-9._-]+)(?:==\S+)? has no wheels with a matching",
        "{packages} has no wheel for this Python and platform",
        "Choose a version that has one",
    ),
    _rule(
        "wheel-invalid",
        r"Failed to install: \S+ \(([^=)]+)",
        "the wheel of {packages} is not a proper one",
        "Choose another version, and tell its authors",
    ),
    _rule(
        "index-unavailable",
        r"Failed to fetch|Failed to download|error sending request|error decoding response|operation timed out|"
        r"HTTP status|Network connectivity is disabled",
        "the package index cannot be reached, or sends what is not a package",
        UNREACHABLE,
        passes=True,
    ),
    _rule(
        "python-unsupported",
        r"(?:Because |and |that )(?:all versions of )?([A-Za-z0-9._-]+?)(?:[=<>!~]\S+)? (?:requires|depends on) Python",
        "{packages} does not run on Python {python}",
        "Choose a version that runs on it",
    ),
    _rule(
        "package-not-found",
        r"([A-Za-z0-9._-]+) was not found in the|there are no versions of ([A-Za-z0-9._-]+)",
        "there is no package {packages} in the index",
        "Check its spelling",
    ),
    _rule(
        "conflict",
        r"No solution found",
        "no set of versions satisfies the requirements",
        "Loosen one of the constraints that uv names",
    ),
)
OTHERWISE = _rule("uv-failed", "", "uv could not work", "The detail has its own words")


def explain(ran: Ran, asked: Requirements, python: str, places: Mapping[str, str]) -> Explanation:
    """`places` are paths of this machine, and what a reader should see in their stead."""
    detail = shorten(ran.words, places)
    if "(os error 28)" in ran.words or "(os error 122)" in ran.words:
        return Explanation("disk-full", disk_full(detail))
    flat = _readable(ran.words)
    rule = next((rule for rule in RULES if rule.sign.search(flat)), OTHERWISE)
    packages = _packages(rule, flat)
    said = {"packages": ", ".join(packages) or "a package", "first": next(iter(packages), ""), "python": python}
    message, remedy = rule.message.format(**said), rule.remedy.format(**said)
    if rule.passes or (rule is OTHERWISE and ran.code != 1):
        return Explanation(rule.code, wait(rule.code, message, remedy, detail=detail), packages)
    line = asked.named((*packages, *WORD.findall(flat)))
    return Explanation(rule.code, stalled(rule.code, message, remedy, line=line, detail=detail), packages)


def shorten(words: str, places: Mapping[str, str]) -> str:
    """At most 2 kB of what was said, without this machine's paths and anybody's password."""
    for place, shown in places.items():
        words = words.replace(place, shown)
    words = CREDENTIALS.sub(r"\1***@", CHATTER.sub("", words)).strip()
    return words if len(words) <= DETAIL else f"{words[:HEAD]}{GAP}{words[HEAD + len(GAP) - DETAIL :]}"


def _packages(rule: _Rule, words: str) -> tuple[str, ...]:
    found = (next((group for group in match.groups() if group), "") for match in rule.sign.finditer(words))
    return tuple(dict.fromkeys(name.strip(".,") for name in found if name))


def _readable(words: str) -> str:
    """On one line, without what no person could have named: some signs are slow to look for in endless words."""
    return " ".join(word for word in words.split() if len(word) < LONGEST)
