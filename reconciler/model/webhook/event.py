"""What a genuine webhook says, and whether it is a reason to look."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

BRANCHES = "refs/heads/"
LONGEST_QUOTE = 120
_SCP = re.compile(r"(?:[^@/:]+@)?[^@/:]+:(?P<path>[^:]+)")

State = Literal["accepted", "ignored", "pong"]


@dataclass(frozen=True, slots=True)
class Push:
    ref: str | None
    """In full; None where the payload does not say."""
    deleted: bool = False
    forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    name: str
    delivery: str = ""
    """The sender's own number for it."""
    is_signed_id: bool = False
    """Nobody but the sender can have given it that number."""
    is_ping: bool = False
    pushes: tuple[Push, ...] = ()
    """Empty: it is about something else."""
    repositories: frozenset[str] = frozenset()
    """Names and addresses under which the sender knows the repository."""
    remark: str = ""
    """Why it is no push, where there is more to say than that."""


@dataclass(frozen=True, slots=True)
class Verdict:
    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Followed:
    location: str
    branch: str

    def is_among(self, names: Iterable[str]) -> bool:
        """Whether one of these names means the repository that is followed.

        Paths are compared, hosts are not: behind a proxy or an alias of ssh one repository has several. A look too many
        costs next to nothing. A repository that is followed by a path of this machine has no name elsewhere.
        """
        ours = _path_of(self.location)
        theirs = {path for name in names if (path := _path_of(name))}
        return not ours or not theirs or any(_is_same(ours, path) for path in theirs)


def judge(event: Event, followed: Followed) -> Verdict:
    """Ignore only what is certain to be about something else."""
    if event.is_ping:
        return Verdict("pong", "the webhook is set up well")
    if not event.pushes:
        return Verdict("ignored", event.remark or f"{quoted(event.name)} does not say that a branch moved")
    if not followed.is_among(event.repositories):
        named = quoted(min(event.repositories, key=len))
        return Verdict("ignored", f"it is about {named}; what is followed here is {followed.location}")
    ours = [push for push in event.pushes if push.ref in (None, BRANCHES + followed.branch)]
    if not ours:
        others = ", ".join(sorted({_short(push.ref) for push in event.pushes})[:5])
        return Verdict("ignored", f"it is about {others}; what is followed here is the branch {followed.branch}")
    return Verdict("accepted", _about(ours[-1], followed.branch))


def quoted(text: str) -> str:
    """Somebody else's words, short and on one line."""
    return "".join(letter if letter.isprintable() else "�" for letter in text[:LONGEST_QUOTE])


def _about(push: Push, branch: str) -> str:
    if push.ref is None:
        return "a push, without saying where"
    if push.deleted:
        return f"the branch {branch} was deleted"
    return f"a forced push to {branch}" if push.forced else f"a push to {branch}"


def _short(ref: str | None) -> str:
    ref = ref or ""
    if ref.startswith(BRANCHES):
        return f"the branch {quoted(ref.removeprefix(BRANCHES))}"
    if ref.startswith("refs/tags/"):
        return f"the tag {quoted(ref.removeprefix('refs/tags/'))}"
    return quoted(ref)


def _is_same(one: str, other: str) -> bool:
    """A forge below some path of its host says so in addresses and not in names."""
    short, long = sorted((one, other), key=len)
    return short == long or ("/" in short and long.endswith(f"/{short}"))


def _path_of(name: str) -> str:
    """`team/services` of a name or an address of it; empty for a path of this machine."""
    if "://" in name:
        try:
            path = urlsplit(name).path
        except ValueError:
            return ""
    elif name.startswith("/"):
        return ""
    elif scp := _SCP.fullmatch(name):
        path = scp["path"]
    else:
        path = name
    return path.strip("/").removesuffix(".git").casefold()
