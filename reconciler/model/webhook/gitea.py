"""Gitea and Forgejo: a bare hexadecimal HMAC-SHA256 in headers of their own, and GitHub's beside it.

They sign the JSON also when they send it inside a form, unlike GitHub, which signs the form. Without a secret they send
the headers all the same, empty. Of a branch that is deleted or renamed they send no push.
"""

from collections.abc import Sequence

from reconciler.model.webhook.event import BRANCHES, Event, Push
from reconciler.model.webhook.github import push, repositories
from reconciler.model.webhook.provider import Provider, check_digest, digest_in, event_name, shared_secret
from reconciler.model.webhook.received import Payload, Received, Unauthentic

BARE = ("x-forgejo-signature", "x-gitea-signature", "x-gogs-signature")


def proof(received: Received) -> str:
    for header in BARE:
        if header in received.headers:
            return digest_in(received, header)
    if received.header("x-hub-signature-256"):
        return digest_in(received, "x-hub-signature-256", "sha256=")
    raise Unauthentic("there is no signature; give the webhook a secret")


def authenticate(received: Received, secrets: Sequence[bytes]) -> None:
    bodies = (received.body, received.json_text()) if received.is_form else (received.body,)
    check_digest(proof(received), secrets, *bodies)


def understand(received: Received) -> Event:
    name = event_name(received, "x-forgejo-event", "x-gitea-event", "x-gogs-event", "x-github-event")
    payload = received.payload()
    return Event(
        name=name,
        delivery=received.first_of("x-forgejo-delivery", "x-gitea-delivery", "x-gogs-delivery", "x-github-delivery"),
        is_ping=name == "ping",
        pushes=_pushes(name, payload),
        repositories=repositories(payload),
    )


def _pushes(name: str, payload: Payload) -> tuple[Push, ...]:
    if name == "push":
        return (push(payload),)
    branch = payload.text("ref").removeprefix(BRANCHES)
    if name in ("create", "delete") and payload.text("ref_type") == "branch" and branch:
        return (Push(BRANCHES + branch, deleted=name == "delete"),)
    return ()


GITEA: Provider[bytes] = Provider(
    name="gitea", key=shared_secret, proof=proof, authenticate=authenticate, understand=understand
)
