"""Where the repository is, judged before git hears of it.

The operator's word is trusted to be meant, not to be well formed: only http(s), ssh and plain paths pass,
nothing can be read as an option, and a user name and password are taken off at once, so that they never
stand in an argument, a configuration file or a message.
"""

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn
from urllib.parse import unquote, urlsplit

from reconciler.model.failure import Reason, Stalled

Kind = Literal["path", "http", "ssh"]

_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ufeff\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]+\])")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_SCP = re.compile(r"(?:(?P<user>[^@/:]+)@)?(?P<host>[^@/:]+):(?P<path>[^:].*)")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_BRANCH_TRAP = re.compile(r"\.\.|//|/\.|\.lock(?:/|$)|[./]$")


@dataclass(frozen=True, slots=True)
class Address:
    kind: Kind
    location: str
    """What git is given and people are shown; never holds a password."""
    authorization: str | None = field(default=None, repr=False)
    """The value of an Authorization header."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must not show up in anything git says."""


def parse_address(repository: str | Path) -> Address:
    if isinstance(repository, Path):
        return _path(str(repository))
    scheme, separator, _ = repository.partition("://")
    if separator:
        return _url(repository, scheme.lower())
    if "::" in repository.split("/", 1)[0]:
        _refuse("it names a transport helper of git, which can run any program")
    scp = _SCP.fullmatch(repository)
    if scp and not Path(repository).exists():
        return _scp(repository, scp)
    return _path(repository)


def check_branch(branch: str) -> str:
    """The branch's name, when it is one that cannot be taken for anything else."""
    if not _BRANCH.fullmatch(branch) or _BRANCH_TRAP.search(branch):
        raise Stalled(
            Reason.SOURCE_UNAVAILABLE,
            f"{branch[:80]!r} cannot be followed: a branch name starts with a letter or digit and holds letters, "
            "digits and . _ - / only. Name another branch with --branch.",
        )
    return branch


def _path(text: str) -> Address:
    if not text or any(ord(character) < 32 or ord(character) == 127 for character in text):
        _refuse("a path is not empty and holds no control characters")
    if text.startswith("-"):
        _refuse("it starts with a dash, like an option")
    return Address("path", str(Path(text).absolute()))


def _url(text: str, scheme: str) -> Address:
    if _CONTROL.search(text):
        _refuse("it holds spaces, control or invisible characters")
    if scheme in ("http", "https"):
        return _http(text)
    if scheme == "ssh":
        return _ssh(text)
    if scheme == "file":
        _refuse("a local repository is given by its path, without file://")
    return _refuse(f"{scheme[:20]!r} is not among https, http, ssh and plain paths")


def _http(text: str) -> Address:
    parts = urlsplit(text)
    host = _host(parts.netloc)
    if parts.query or parts.fragment:
        _refuse("a repository's URL has no ? and no #")
    location = f"{parts.scheme}://{host}{parts.path}"
    userinfo = parts.netloc.rpartition("@")[0]
    if not userinfo:
        return Address("http", location)
    user, _, password = (unquote(part) for part in userinfo.partition(":"))
    if _CONTROL.search(user + password):
        _refuse("its user name or password holds control characters")
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    # A lone user name is a token for most forges, so it is as secret as a password.
    spoken = {userinfo, encoded, password or user, *userinfo.split(":")} - {user if password else "", ""}
    return Address("http", location, f"Basic {encoded}", tuple(sorted(spoken, key=len, reverse=True)))


def _ssh(text: str) -> Address:
    parts = urlsplit(text)
    host = _host(parts.netloc)
    user, separator, _ = parts.netloc.rpartition("@")
    if ":" in user:
        _refuse("ssh takes a key, not a password in the URL")
    if separator and not _USER.fullmatch(user):
        _refuse("its user name is not one")
    if len(parts.path) < 2 or parts.path.startswith("/-"):
        _refuse("it names no repository on that host")
    return Address("ssh", f"ssh://{user + separator}{host}{parts.path}")


def _scp(text: str, parts: re.Match[str]) -> Address:
    if _CONTROL.search(text):
        _refuse("it holds spaces, control or invisible characters")
    user, host, path = parts["user"], parts["host"], parts["path"]
    if not _HOST.fullmatch(host) or (user is not None and not _USER.fullmatch(user)) or path.startswith("-"):
        _refuse("it is neither a path, nor a URL, nor of the form git@host:path")
    return Address("ssh", text)


def _host(netloc: str) -> str:
    host = netloc.rpartition("@")[2]
    name, colon, port = host.rpartition(":") if re.search(r":\d*$", host) else (host, "", "")
    if not _HOST.fullmatch(name) or (colon and not port.isdigit()):
        _refuse("its host is not one")
    return host


def _refuse(why: str) -> NoReturn:
    raise Stalled(
        Reason.SOURCE_UNAVAILABLE,
        f"The repository's address is refused: {why}. Give a path, https://…, ssh://… or git@host:path.",
    )
