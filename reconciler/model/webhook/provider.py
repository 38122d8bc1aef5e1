"""What all providers have in common: how one is asked whether a request is genuine, and what it says."""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from reconciler.model.webhook.event import Event
from reconciler.model.webhook.received import Received, Refused, Unauthentic

Key = TypeVar("Key")
FEWEST_CHARACTERS = 16
MEGABYTE = 1_000_000
USUAL_BODY = 5 * MEGABYTE
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider(Generic[Key]):
    name: str
    key: Callable[[str], Key]
    """One of the operator's secrets, read; raises `ValueError` with what it should be."""
    proof: Callable[[Received], object]
    """Raises `Unauthentic` when there is nothing that could be checked: no need to read the body then."""
    authenticate: Callable[[Received, Sequence[Key]], None]
    """Raises `Unauthentic` unless one of the keys made it."""
    understand: Callable[[Received], Event]
    """What it says; only for what is genuine."""
    most: int = USUAL_BODY
    """Bytes that a body may have."""


@dataclass(frozen=True, slots=True)
class Door(Generic[Key]):
    """A provider that is let in, with the keys that open."""

    provider: Provider[Key]
    keys: tuple[Key, ...] = field(repr=False)

    def glance(self, received: Received) -> None:
        self.provider.proof(received)

    def open(self, received: Received) -> Event:
        """Raises `Refused`. Nothing of the body is looked at before it is known to be genuine."""
        self.provider.proof(received)
        self.provider.authenticate(received, self.keys)
        return self.provider.understand(received)


def shared_secret(text: str) -> bytes:
    if len(text) < FEWEST_CHARACTERS:
        raise ValueError(f"a secret has {FEWEST_CHARACTERS} characters at least; `openssl rand -hex 32` makes one")
    return text.encode(errors="surrogateescape")


def digest_in(received: Received, header: str, prefix: str = "") -> str:
    """The HMAC-SHA256 that a header claims, in hexadecimal."""
    value = received.header(header)
    digest = value.removeprefix(prefix)
    if not value.startswith(prefix) or not _DIGEST.fullmatch(digest):
        raise Unauthentic(f"{header} is not {prefix}<64 hexadecimal digits>; does the webhook have a secret?")
    return digest


def check_digest(digest: str, secrets: Sequence[bytes], *bodies: bytes) -> None:
    # All of them, also after one was right: how long it takes does not tell which.
    expected = [hmac.digest(secret, body, hashlib.sha256).hex() for secret in secrets for body in bodies]
    if not sum(hmac.compare_digest(digest, one) for one in expected):
        raise Unauthentic("the signature is not made with a secret that is known here")


def event_name(received: Received, *headers: str) -> str:
    name = received.first_of(*headers)
    if not name:
        raise Refused(f"the header {headers[0]} is missing")
    return name


def is_zero(sha: str) -> bool:
    return bool(sha) and set(sha) == {"0"}
