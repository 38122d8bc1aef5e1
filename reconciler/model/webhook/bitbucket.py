"""Bitbucket Cloud and Data Center: `X-Hub-Signature` with SHA-256, although its name has no number.

Data Center sends its diagnostic ping without a signature. It is answered, and nothing else comes of it.
"""

from collections.abc import Sequence

from reconciler.model.webhook.event import BRANCHES, Event, Push
from reconciler.model.webhook.provider import Provider, check_digest, digest_in, event_name, shared_secret
from reconciler.model.webhook.received import Payload, Received

SIGNATURE = "x-hub-signature"
EVENT = "x-event-key"
PING = "diagnostics:ping"


def proof(received: Received) -> str:
    return "" if is_bare_ping(received) else digest_in(received, SIGNATURE, "sha256=")


def is_bare_ping(received: Received) -> bool:
    return received.header(EVENT) == PING and not received.header(SIGNATURE)


def authenticate(received: Received, secrets: Sequence[bytes]) -> None:
    if not is_bare_ping(received):
        check_digest(proof(received), secrets, received.body)


def understand(received: Received) -> Event:
    name = event_name(received, EVENT)
    if name == PING:
        return Event(name=name, is_ping=True)
    payload = received.payload()
    return Event(
        name=name,
        delivery=received.first_of("x-request-uuid", "x-request-id"),
        pushes=_pushes(name, payload),
        repositories=_repositories(payload.at("repository")),
    )


def _pushes(name: str, payload: Payload) -> tuple[Push, ...]:
    if name == "repo:push":
        return tuple(map(_of_cloud, payload.items("push", "changes"))) or (Push(None),)
    if name in ("repo:refs_changed", "mirror:repo_synchronized"):
        return tuple(map(_of_data_center, payload.items("changes"))) or (Push(None),)
    return ()


def _of_cloud(change: Payload) -> Push:
    deleted = change.is_true("closed")
    target = change.at("old") if deleted else change.at("new")
    name = target.text("name")
    folder = "refs/tags/" if target.text("type") == "tag" else BRANCHES
    return Push(folder + name if name else None, deleted, change.is_true("forced"))


def _of_data_center(change: Payload) -> Push:
    ref = change.text("ref", "id") or change.text("refId")
    return Push(ref or None, change.text("type") == "DELETE")


def _repositories(repository: Payload) -> frozenset[str]:
    links = {link.text("href") for link in repository.items("links", "clone")} - {""}
    project, slug = repository.text("project", "key"), repository.text("slug")
    named = {f"{project}/{slug}"} if project and slug and not repository.text("full_name") else set()
    return repository.texts(("full_name",), ("links", "html", "href")) | links | named


BITBUCKET: Provider[bytes] = Provider(
    name="bitbucket", key=shared_secret, proof=proof, authenticate=authenticate, understand=understand
)
