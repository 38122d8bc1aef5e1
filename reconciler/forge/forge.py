"""Which forge a repository lies on, and the speaker for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

import httpx

from reconciler.forge.gitea import Gitea
from reconciler.forge.github import App, GitHub
from reconciler.forge.gitlab import GitLab
from reconciler.forge.links import Links
from reconciler.forge.outbox import Speaker

Forge = Literal["github", "gitlab", "gitea"]

_KNOWN: Final[Mapping[str, Forge]] = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "codeberg.org": "gitea",
    "gitea.com": "gitea",
}


@dataclass(frozen=True, slots=True)
class Repository:
    """Where the followed repository lies on its forge."""

    forge: Forge
    api: str
    path: str
    """`owner/name`; with GitLab perhaps in groups of groups."""


def locate(
    location: str, forge: Forge | None = None, api: str | None = None, path: str | None = None
) -> Repository | None:
    """From the address that is followed, and what the operator knows better. None where that is no forge."""
    host, found = _split(location)
    kind = forge or _KNOWN.get(host)
    path = path or found
    host = host or next((name for name, known in _KNOWN.items() if known == kind), "")
    if kind is None or "/" not in path:
        return None
    return Repository(kind, api or _api_of(kind, host), path)


def connect(
    repository: Repository,
    token: str,
    links: Links,
    app: App | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Speaker:
    match repository.forge:
        case "github":
            return GitHub(repository.api, repository.path, token, links, app, transport)
        case "gitlab":
            return GitLab(repository.api, repository.path, token, links, transport)
        case "gitea":
            return Gitea(repository.api, repository.path, token, links, transport)


def _split(location: str) -> tuple[str, str]:
    """`https://host/owner/name.git`, `ssh://git@host/owner/name`, `git@host:owner/name.git`."""
    if "://" not in location:
        before, _, path = location.partition(":")
        host = before.rpartition("@")[2]
        return (host.lower(), _name(path)) if path and "/" not in before else ("", "")
    parts = urlsplit(location)
    return (parts.hostname or "").lower(), _name(parts.path)


def _name(path: str) -> str:
    return path.strip("/").removesuffix(".git")


def _api_of(forge: Forge, host: str) -> str:
    if forge == "github":
        return "https://api.github.com" if host == "github.com" else f"https://{host}/api/v3"
    return f"https://{host}/api/v4" if forge == "gitlab" else f"https://{host}/api/v1"
