"""GitLab: the secret itself in `X-Gitlab-Token`, or, from 19.0 on, a signature by Standard Webhooks.

A signing secret begins with `whsec_` and is never taken as a token, so that a leaked header is no key. The token proves
who sends and nothing about what is sent; a signature proves both, with a moment.
"""

import hmac
from collections.abc import Sequence

from reconciler.model.standard_webhooks import SECRET
from reconciler.model.standard_webhooks import Key as SigningKey
from reconciler.model.webhook import standard
from reconciler.model.webhook.event import Event, Push
from reconciler.model.webhook.provider import Provider, is_zero, shared_secret
from reconciler.model.webhook.received import Payload, Received, Unauthentic

TOKEN = "x-gitlab-token"  # noqa: S105 - the name of a header
Key = bytes | SigningKey


def key(text: str) -> Key:
    return SigningKey.parse(text) if text.startswith(SECRET) else shared_secret(text)


def proof(received: Received) -> None:
    if not received.header(TOKEN) and not received.header(standard.SIGNATURE):
        raise Unauthentic("there is neither a token nor a signature; give the webhook a secret")


def authenticate(received: Received, keys: Sequence[Key]) -> None:
    signing = [one for one in keys if isinstance(one, SigningKey)]
    if signing and received.header(standard.SIGNATURE):
        standard.authenticate(received, signing)
        return
    # Headers are read as Latin-1, whatever their bytes mean.
    given = received.header(TOKEN).encode("latin-1", errors="replace")
    tokens = [one for one in keys if isinstance(one, bytes)]
    if not sum(hmac.compare_digest(given, token) for token in tokens):
        raise Unauthentic("neither token nor signature is made with a secret that is known here")


def understand(received: Received) -> Event:
    payload = received.payload()
    kind = payload.text("object_kind") or payload.text("event_name")
    return Event(
        name=kind or received.header("x-gitlab-event") or "unknown",
        delivery=received.first_of("idempotency-key", "webhook-id", "x-gitlab-event-uuid"),
        pushes=_pushes(kind, payload),
        repositories=_repositories(payload),
    )


def _pushes(kind: str, payload: Payload) -> tuple[Push, ...]:
    if kind == "push":
        return (Push(payload.text("ref") or None, is_zero(payload.text("after"))),)
    if kind == "repository_update":
        changes = payload.items("changes")
        return tuple(Push(one.text("ref") or None, is_zero(one.text("after"))) for one in changes) or (Push(None),)
    return ()


def _repositories(payload: Payload) -> frozenset[str]:
    project, repository = payload.at("project"), payload.at("repository")
    addresses = (("git_http_url",), ("git_ssh_url",), ("http_url",), ("ssh_url",), ("web_url",))
    return project.texts(("path_with_namespace",), *addresses) | repository.texts(*addresses, ("homepage",))


GITLAB: Provider[Key] = Provider(name="gitlab", key=key, proof=proof, authenticate=authenticate, understand=understand)
