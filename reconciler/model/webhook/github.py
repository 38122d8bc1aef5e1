"""GitHub: `X-Hub-Signature-256`, over the bytes of the body, form or not.

The header X-GitHub-Delivery is not signed: who has seen one delivery can send it again under another number. SHA-1 is
not taken. https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
"""

from collections.abc import Sequence

from reconciler.model.webhook.event import Event, Push
from reconciler.model.webhook.provider import (
    MEGABYTE,
    Provider,
    check_digest,
    digest_in,
    event_name,
    is_zero,
    shared_secret,
)
from reconciler.model.webhook.received import Payload, Received, Refused, Unauthentic

SIGNATURE = "x-hub-signature-256"
ALSO_PUSHED = "a push event says the same"


def proof(received: Received) -> str:
    if received.first_of("x-forgejo-event", "x-gitea-event"):
        raise Refused("this comes from Gitea or Forgejo: its webhook belongs to /webhooks/gitea")
    if not received.header(SIGNATURE) and received.header("x-hub-signature"):
        raise Unauthentic(f"a signature with SHA-1 is not enough; {SIGNATURE} is what counts")
    return digest_in(received, SIGNATURE, "sha256=")


def authenticate(received: Received, secrets: Sequence[bytes]) -> None:
    check_digest(proof(received), secrets, received.body)


def understand(received: Received) -> Event:
    name = event_name(received, "x-github-event")
    payload = received.payload()
    action = payload.text("action")
    return Event(
        name=f"{name}.{action}" if action else name,
        delivery=received.header("x-github-delivery"),
        is_ping=name == "ping",
        pushes=(push(payload),) if name == "push" else (),
        repositories=repositories(payload),
        remark=_remark(name, action, payload),
    )


def push(payload: Payload) -> Push:
    """Gitea and Forgejo write it in the same way."""
    deleted = payload.is_true("deleted") or is_zero(payload.text("after"))
    return Push(payload.text("ref") or None, deleted, payload.is_true("forced"))


def repositories(payload: Payload) -> frozenset[str]:
    repository = payload.at("repository")
    return repository.texts(("full_name",), ("clone_url",), ("ssh_url",), ("html_url",))


def _remark(name: str, action: str, payload: Payload) -> str:
    if name in ("create", "delete"):
        return ALSO_PUSHED
    if name == "repository" and action in ("renamed", "transferred"):
        return "the repository has another address now: give it to the server, which follows the one it was given"
    return ""


GITHUB: Provider[bytes] = Provider(
    name="github",
    key=shared_secret,
    proof=proof,
    authenticate=authenticate,
    understand=understand,
    most=25 * MEGABYTE,
)
