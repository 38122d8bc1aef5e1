"""The one interface of every place where secrets are kept.

Vault, AWS and their like will be further implementations; nothing else has to know of them.
"""

from collections.abc import Hashable
from typing import Protocol

from reconciler.model.pinned_secret import PinnedSecret
from reconciler.model.secret_reference import SecretReference


class Missing(Exception):
    """There is no value to be had. Names the secret and the way out; never holds a value."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy


class Absent(Missing):
    """There is none, which an optional secret may be; the others of these errors say that one cannot be had for now."""


class Provider(Protocol):
    def pace(self) -> Hashable:
        """Equal for as long as no version has changed."""

    def version(self, wanted: SecretReference) -> str:
        """Which version a release made now would get. Raises `Missing`."""

    async def value(self, pinned: PinnedSecret) -> str:
        """The value, for a worker that starts now: of that version, where versions are kept. Raises `Missing`."""
