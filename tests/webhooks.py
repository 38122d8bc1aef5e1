"""Requests as forges send them: payloads in their shapes, signed in their ways."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NOW = time.time()
"""When they are signed, unless a test says otherwise: cases may be made long before they are played."""
SECRET = "It's a Secret to Everybody"
SIGNING = "whsec_" + base64.b64encode(b"reconciler-reconciler-reconciler").decode()
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
ENVIRON = {
    "RECONCILER_WEBHOOK_GITHUB_SECRET": SECRET,
    "RECONCILER_WEBHOOK_GITLAB_SECRET": f"{SECRET},{SIGNING}",
    "RECONCILER_WEBHOOK_GITEA_SECRET": SECRET,
    "RECONCILER_WEBHOOK_BITBUCKET_SECRET": SECRET,
    "RECONCILER_WEBHOOK_STANDARD_SECRET": f"{SIGNING},{PUBLIC}",
}
BEFORE, AFTER, NOTHING = "1" * 40, "2" * 40, "0" * 40
ADDRESS = "https://forge.example/team/services.git"


@dataclass(frozen=True)
class Hook:
    provider: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return f"/webhooks/{self.provider}"


def hexdigest(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def as_json(payload: object) -> bytes:
    return json.dumps(payload).encode()


def github(
    event: str = "push", payload: object = None, *, secret: str = SECRET, delivery: str = "", form: bool = False
) -> Hook:
    body = as_json(pushed() if payload is None else payload)
    if form:
        body = urlencode({"payload": body.decode()}).encode()
    headers = {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery or str(uuid4()),
        "X-Hub-Signature-256": f"sha256={hexdigest(body, secret)}",
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
    }
    return Hook("github", headers, body)


def pushed(branch: str = "main", name: str = "team/services", **more: Any) -> dict[str, Any]:
    """GitHub's push, and Gitea's."""
    repository = {"full_name": name, "clone_url": f"https://forge.example/{name}.git"}
    return {"ref": f"refs/heads/{branch}", "before": BEFORE, "after": AFTER, "repository": repository, **more}


def gitea(event: str = "push", payload: object = None, *, kind: str = "Gitea", form: bool = False) -> Hook:
    body = as_json(pushed() if payload is None else payload)
    digest = hexdigest(body)
    headers = {
        f"X-{kind}-Event": event,
        f"X-{kind}-Delivery": str(uuid4()),
        f"X-{kind}-Signature": digest,
        "X-Hub-Signature-256": f"sha256={digest}",
        "X-GitHub-Event": event,
    }
    if form:
        # Unlike GitHub, it signs what is inside the form.
        body = urlencode({"payload": body.decode()}).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    return Hook("gitea", headers, body)


def gitlab(
    payload: object = None, *, token: str | None = SECRET, signing: str | None = None, at: float | None = None
) -> Hook:
    body = as_json(gitlab_pushed() if payload is None else payload)
    headers = {"X-Gitlab-Event": "Push Hook", "Idempotency-Key": str(uuid4())}
    if token is not None:
        headers["X-Gitlab-Token"] = token
    if signing is not None:
        headers |= signed(body, signing, at=at)
    return Hook("gitlab", headers, body)


def gitlab_pushed(branch: str = "main", after: str = AFTER) -> dict[str, Any]:
    project = {"path_with_namespace": "team/services", "git_http_url": ADDRESS}
    return {"object_kind": "push", "ref": f"refs/heads/{branch}", "after": after, "project": project}


def bitbucket(event: str = "repo:push", payload: object = None, *, secret: str = SECRET) -> Hook:
    body = as_json(bitbucket_pushed() if payload is None else payload)
    headers = {
        "X-Event-Key": event,
        "X-Request-UUID": str(uuid4()),
        "X-Hub-Signature": f"sha256={hexdigest(body, secret)}",
    }
    return Hook("bitbucket", headers, body)


def bitbucket_pushed(branch: str = "main") -> dict[str, Any]:
    change = {"new": {"type": "branch", "name": branch}, "old": {"type": "branch", "name": branch}, "closed": False}
    return {"push": {"changes": [change]}, "repository": {"full_name": "team/services"}}


def data_center_pushed(branch: str = "main", kind: str = "UPDATE") -> dict[str, Any]:
    repository = {"slug": "services", "project": {"key": "TEAM"}}
    return {"changes": [{"ref": {"id": f"refs/heads/{branch}"}, "type": kind}], "repository": repository}


def standard(payload: object = None, *, key: str = SIGNING, identity: str = "", at: float | None = None) -> Hook:
    body = as_json({"type": "build.passed", "data": {}} if payload is None else payload)
    return Hook("standard", signed(body, key, identity, at), body)


def signed(body: bytes, key: str, identity: str = "", at: float | None = None) -> dict[str, str]:
    identity, moment = identity or f"msg_{uuid4().hex}", str(int(NOW if at is None else at))
    content = f"{identity}.{moment}.".encode() + body
    if key.startswith("whpk_"):
        signature = "v1a," + base64.b64encode(PRIVATE.sign(content)).decode()
    else:
        raw = base64.b64decode(key.removeprefix("whsec_"))
        signature = "v1," + base64.b64encode(hmac.new(raw, content, hashlib.sha256).digest()).decode()
    return {"webhook-id": identity, "webhook-timestamp": moment, "webhook-signature": signature}
