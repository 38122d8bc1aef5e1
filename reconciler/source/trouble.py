"""What git's words mean, and what a person should do about it.

git tells its trouble in prose on standard error. This table turns that into one sentence of ours with a
remedy, keeps git's own words as detail, and takes every secret and control character out of them.
Refuses to guess: what it does not know is passed on as git said it.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

from reconciler.model.failure import Reason, Wait
from reconciler.source.address import Address
from reconciler.source.program import Said

DETAIL_LIMIT = 2000
_UNPRINTABLE = re.compile(r"[^\n\t\x20-\x7e\u00a1-\u1fff\u2010-\u2027\u2030-\u2059\u2070-\ufefe]")


class Meaning(Enum):
    """What kind of trouble it is, for the little that depends on it."""

    OUTSIDE = auto()
    """The mirror is fine; the source, the network or the operator has to change."""
    MALFORMED = auto()
    """What was fetched must not be kept."""
    NO_SHALLOW = auto()
    """The source cannot give a part of its history."""
    UNKNOWN = auto()
    """It may be the mirror itself."""


@dataclass(frozen=True, slots=True)
class _Sign:
    pattern: re.Pattern[str]
    message: str
    meaning: Meaning = Meaning.OUTSIDE


def _sign(pattern: str, message: str, meaning: Meaning = Meaning.OUTSIDE) -> _Sign:
    return _Sign(re.compile(pattern, re.IGNORECASE), message, meaning)


_MALFORMED = (
    "{where} holds objects that are malformed or missing; nothing of it was used. Run `git fsck` there, and remove "
    "the commit that brought them."
)

_SIGNS = (
    _sign(r"fsck error|error: object [0-9a-f]{40}: \w+:|error in object", _MALFORMED, Meaning.MALFORMED),
    _sign(
        r"couldn't find remote ref",
        "Branch {branch!r} is not in {where}, or it has no commit yet. Push it, or follow another one with --branch.",
    ),
    _sign(
        r"dubious ownership",
        "{where} belongs to another user of this machine, and git refuses to read it. Run the server as the "
        "owner of the repository, or change its owner.",
    ),
    _sign(
        r"does not support shallow|server does not support --?(shallow|depth)|dumb http transport",
        "{where} cannot give a part of its history.",
        Meaning.NO_SHALLOW,
    ),
    _sign(
        r"authentication failed|could not read (username|password)|terminal prompts disabled|returned error: 401",
        "{where} does not accept the credentials. Give a valid token in the repository's URL.",
    ),
    _sign(
        r"permission denied \(|too many authentication failures",
        "{where} does not accept this machine's ssh key. Load one into the ssh agent, or allow the key there.",
    ),
    _sign(
        r"host key verification failed|remote host identification has changed",
        "The ssh key of {where} is not known here. Check it, and add it to known_hosts.",
    ),
    _sign(r"returned error: 403", "{where} forbids reading it with these credentials. Give the token that right."),
    _sign(r"returned error: 429", "{where} asks us to come back later (429). Poll less often."),
    _sign(r"returned error: 5\d\d", "{where} has trouble of its own (a 5xx answer). It is tried again."),
    _sign(
        r"unable to update url base from redirection|returned error: 30\d|maximum \(0\) redirects",
        "{where} redirects elsewhere, which is not followed. Give the address it redirects to.",
    ),
    _sign(
        r"not valid: is this a git repository|does not appear to be a git repository|repository .* not found|"
        r"returned error: (404|410)|bad line length character|protocol error",
        "{where} is not a git repository, or these credentials may not see it. Check the address; of a work tree, "
        "give the folder that holds .git.",
    ),
    _sign(
        r"could not resolve host|couldn't connect|connection (refused|timed out|reset)|network is unreachable|"
        r"no route to host|failed to connect|could not connect|operation timed out|operation too slow|ssl|"
        r"certificate|empty reply|the remote end hung up unexpectedly|early eof|rpc failed|curl \d+",
        "{where} cannot be reached. Check the network and the address; it is tried again.",
    ),
    _sign(
        r"mismatched algorithms|unsupported object format|unknown object format",
        "{where} uses SHA-256 object names, which are not supported. Follow a repository with SHA-1 names.",
    ),
    _sign(
        r"no space left|disk quota exceeded",
        "The disk is full, so nothing can be fetched. Make room below the data folder.",
    ),
    _sign(
        r"died of signal 25|file too large|file size limit",
        "{where} is larger than this server takes in one fetch. Make it smaller, or split it.",
    ),
    _sign(
        r"invalid index-pack output|index-pack died|did not send all necessary objects", _MALFORMED, Meaning.MALFORMED
    ),
)


@dataclass(frozen=True, slots=True)
class Trouble:
    meaning: Meaning
    failure: Wait


def understand(said: Said, address: Address, branch: str) -> Trouble:
    detail = presentable(said.err, address)
    if said.late:
        message = f"{address.location} did not answer in time. Check the network; it is tried again."
        return Trouble(Meaning.OUTSIDE, Wait(Reason.SOURCE_UNAVAILABLE, message, detail=detail or None))
    # What the remote wanted to be shown could imitate any of the signs.
    own = "\n".join(line for line in said.err.splitlines() if not line.startswith("remote:"))
    for sign in _SIGNS:
        if sign.pattern.search(own):
            message = sign.message.format(where=address.location, branch=branch)
            return Trouble(sign.meaning, Wait(Reason.SOURCE_UNAVAILABLE, message, detail=detail or None))
    first = next((line for line in detail.splitlines() if line.strip()), f"git ended with status {said.status}")
    message = f"{address.location} could not be read: {first[:200]}. Look at the detail; it is tried again."
    return Trouble(Meaning.UNKNOWN, Wait(Reason.SOURCE_UNAVAILABLE, message, detail=detail or None))


def presentable(text: str, address: Address) -> str:
    """git's words without secrets and without what would play tricks on a terminal."""
    for secret in address.secrets:
        text = text.replace(secret, "*****")
    return _UNPRINTABLE.sub("?", text.strip())[:DETAIL_LIMIT]
