"""Envelope encryption: each value under a data key of its own, each data key under a master key.

Both layers are AES-256-GCM and bound to a label (the secret's name and version), so that bytes which were changed, or
moved to another name or version, do not open. A new master key means wrapping the data keys anew; the values stay.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reconciler.model.secret_version import Sealed, Wrapped

KEY_BYTES = 32
NONCE_BYTES = 12


class Damaged(Exception):
    """These bytes were changed, or belong to another name or version."""


class NoSuchKey(Exception):
    """They are under a master key that is not at hand."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    material: bytes = field(repr=False)

    @classmethod
    def fresh(cls) -> "MasterKey":
        return cls(AESGCM.generate_key(8 * KEY_BYTES))

    @property
    def id(self) -> str:
        """A name to tell keys apart by. A hash of 256 random bits gives nothing away."""
        return hashlib.sha256(b"reconciler master key\0" + self.material).hexdigest()[:16]


Masters = Mapping[str, MasterKey]


def label(name: str, version: int) -> str:
    return f"secret\0{name}\0{version}"


def seal(value: bytes, bound_to: str, master: MasterKey) -> Sealed:
    key = AESGCM.generate_key(8 * KEY_BYTES)
    return Sealed(_encrypt(key, value, f"value\0{bound_to}"), _wrap(key, bound_to, master))


def unseal(sealed: Sealed, bound_to: str, masters: Masters) -> bytes:
    """Raises `NoSuchKey`, or `Damaged`."""
    return _decrypt(_unwrap(sealed.key, bound_to, masters), sealed.content, f"value\0{bound_to}")


def rewrap(key: Wrapped, bound_to: str, masters: Masters, new: MasterKey) -> Wrapped:
    """The same data key under another master key; the value is not touched, nor looked at."""
    return _wrap(_unwrap(key, bound_to, masters), bound_to, new)


def _wrap(key: bytes, bound_to: str, master: MasterKey) -> Wrapped:
    return Wrapped(_encrypt(master.material, key, f"key\0{master.id}\0{bound_to}"), master.id)


def _unwrap(key: Wrapped, bound_to: str, masters: Masters) -> bytes:
    if key.master not in masters:
        raise NoSuchKey(key.master)
    return _decrypt(masters[key.master].material, key.wrapped, f"key\0{key.master}\0{bound_to}")


def _encrypt(key: bytes, content: bytes, bound_to: str) -> bytes:
    # A data key encrypts once; a master key wraps far fewer than the 2**32 keys that random nonces are good for.
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, bound_to.encode())


def _decrypt(key: bytes, content: bytes, bound_to: str) -> bytes:
    try:
        return AESGCM(key).decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], bound_to.encode())
    except (InvalidTag, ValueError) as error:
        raise Damaged from error
