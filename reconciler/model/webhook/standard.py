"""Whoever speaks Standard Webhooks: a build server, a script, a forge that is none of the others.

Any genuine message asks for a look. It may say `data.repository` and `data.ref` or `data.branch`, which are compared
with what is followed; the type `ping` asks for an answer only.
"""

from collections.abc import Sequence

from reconciler.model.standard_webhooks import Key, NotSigned, verify
from reconciler.model.webhook.event import BRANCHES, Event, Push
from reconciler.model.webhook.provider import Provider
from reconciler.model.webhook.received import Payload, Received, Unauthentic

IDENTITY, MOMENT, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def proof(received: Received) -> None:
    for header in (IDENTITY, MOMENT, SIGNATURE):
        if not received.header(header):
            raise Unauthentic(f"the header {header} is missing")


def authenticate(received: Received, keys: Sequence[Key]) -> None:
    identity, moment, signatures = (received.header(name) for name in (IDENTITY, MOMENT, SIGNATURE))
    try:
        verify(keys, identity, moment, signatures, received.body, received.at)
    except NotSigned as error:
        raise Unauthentic(str(error)) from error


def understand(received: Received) -> Event:
    payload = received.payload()
    name = payload.text("type") or "message"
    return Event(
        name=name,
        delivery=received.header(IDENTITY),
        is_signed_id=True,
        is_ping=name == "ping",
        pushes=(Push(_ref(payload.at("data"))),),
        repositories=payload.at("data").texts(("repository",)),
    )


def _ref(data: Payload) -> str | None:
    branch = data.text("branch")
    return data.text("ref") or (BRANCHES + branch if branch else None)


STANDARD: Provider[Key] = Provider(
    name="standard", key=Key.parse, proof=proof, authenticate=authenticate, understand=understand
)
