"""Signatures by the rules of Standard Webhooks 1.0.0, to check what comes in and to sign what goes out.

What is signed is `id.timestamp.body`, so that neither the id nor the moment can be changed. A message may carry several
signatures, which is how either side changes its key without a pause. https://www.standardwebhooks.com
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = 300.0
"""Seconds that two clocks may differ by; what is older is taken for a replay."""
MOST_SIGNATURES = 10
SECRET, PUBLIC = "whsec_", "whpk_"
PUBLIC_BYTES = 32
FEWEST_BYTES, MOST_BYTES = 16, 128


class NotSigned(Exception):
    """The message does not come from who holds the key, or not from now."""


@dataclass(frozen=True, slots=True)
class Key:
    """A shared secret, or the public half of a pair."""

    raw: bytes = field(repr=False)
    is_public: bool = False

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Raises `ValueError` with what it should be, and without what it is."""
        prefix = next((one for one in (SECRET, PUBLIC) if text.startswith(one)), None)
        if prefix is None:
            raise ValueError(f"it begins with {SECRET} (a shared secret) or {PUBLIC} (a public key)")
        try:
            raw = base64.b64decode(text.removeprefix(prefix), validate=True)
        except binascii.Error as error:
            raise ValueError(f"what follows {prefix} is base64") from error
        if prefix == PUBLIC and len(raw) != PUBLIC_BYTES:
            raise ValueError(f"a public key has {PUBLIC_BYTES} bytes")
        if prefix == SECRET and not FEWEST_BYTES <= len(raw) <= MOST_BYTES:
            raise ValueError(f"a secret has {FEWEST_BYTES} to {MOST_BYTES} bytes")
        return cls(raw, prefix == PUBLIC)

    def sign(self, identity: str, at: int, body: bytes) -> str:
        if self.is_public:
            raise ValueError("a public key signs nothing")
        digest = hmac.digest(self.raw, _signed(identity, str(at), body), hashlib.sha256)
        return f"v1,{base64.b64encode(digest).decode()}"

    def verifies(self, signature: str, signed: bytes) -> bool:
        version, _, encoded = signature.partition(",")
        if version != ("v1a" if self.is_public else "v1"):
            return False
        try:
            given = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return False
        if not self.is_public:
            return hmac.compare_digest(given, hmac.digest(self.raw, signed, hashlib.sha256))
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(given, signed)
        except InvalidSignature:
            return False
        return True


def verify(keys: Iterable[Key], identity: str, at: str, signatures: str, body: bytes, now: float) -> None:
    """Raises `NotSigned` unless one of the keys made one of the signatures, and lately."""
    if not identity or not at.isascii() or not at.isdecimal() or len(at) > 12:
        raise NotSigned("webhook-id or webhook-timestamp is missing or malformed")
    signed = _signed(identity, at, body)
    given = signatures.split()[:MOST_SIGNATURES]
    # Every key against every signature: how long it takes does not tell which of them is right.
    if not sum(key.verifies(signature, signed) for key in keys for signature in given):
        raise NotSigned("no signature in webhook-signature is made with a secret that is known here")
    if abs(now - int(at)) > TOLERANCE:
        raise NotSigned(f"webhook-timestamp is more than {TOLERANCE:.0f} seconds from now: a replay, or a wrong clock")


def _signed(identity: str, at: str, body: bytes) -> bytes:
    return b".".join((identity.encode(errors="surrogateescape"), at.encode(), body))
