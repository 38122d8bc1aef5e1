"""Who may do what here, and who did what, as it is told: tokens without what makes them one, and the audit."""

from datetime import datetime
from typing import Literal

from reconciler.model.access import Scope
from reconciler.model.status import Told


class TokenStatus(Told):
    """An access token, without what makes it one."""

    id: str
    name: str
    kind: Literal["token", "session"]
    """`session`: a browser that signed in."""
    scopes: tuple[Scope, ...]
    services: tuple[str, ...] | None
    """The only ones it reaches; null: all, and the platform as a whole."""
    state: Literal["good", "expired", "revoked"]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    """To the minute."""


class NewToken(TokenStatus):
    token: str
    """Shown this once."""


class AuditStatus(Told):
    """One change that somebody asked for, and how it was answered."""

    id: str
    at: datetime
    actor: str
    token: str | None
    action: str
    service: str | None
    address: str
    status: int
