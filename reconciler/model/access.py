"""Who may do what with the control plane: scopes, whom a token stands for, and how a token is written.

    rcl_<12 hex>_<secret>

The first part finds the token among many, the second proves it; only a hash of that is ever kept. The secret has 256
random bits, so that a plain hash is enough. Refuses to know how a token came here.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from reconciler.model.names import ServiceName

Scope = Literal["read", "deploy", "secrets", "admin"]
SCOPES: Final[frozenset[Scope]] = frozenset({"read", "deploy", "secrets", "admin"})

_WRITTEN: Final = re.compile(r"rcl_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a token stands for."""

    name: str
    scopes: frozenset[Scope]
    services: frozenset[ServiceName] | None = None
    """None: all of them, and the platform as a whole."""
    token: str | None = None
    """Which one it was, by its id."""
    until: datetime | None = None
    """When that is worth nothing any more; None: it has no end of its own."""

    def may(self, scope: Scope) -> bool:
        """`admin` reaches everything; whoever may deploy may see what became of it."""
        implied = {scope, "admin", *(("deploy",) if scope == "read" else ())}
        return not self.scopes.isdisjoint(implied)

    def may_touch(self, service: str) -> bool:
        return self.services is None or service in self.services


@dataclass(frozen=True, slots=True)
class Token:
    """A new one: the only moment at which its secret is known."""

    id: str
    secret: str

    @classmethod
    def new(cls) -> "Token":
        return cls(secrets.token_hex(6), secrets.token_urlsafe(32))

    @classmethod
    def read(cls, text: str) -> "Token | None":
        found = _WRITTEN.fullmatch(text)
        return cls(found[1], found[2]) if found else None

    def __str__(self) -> str:
        return f"rcl_{self.id}_{self.secret}"

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def matches(self, kept: str) -> bool:
        return hmac.compare_digest(self.hash, kept)
