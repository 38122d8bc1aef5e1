"""What is known of a stored secret without opening it: sealed bytes, and who set which version when."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Wrapped:
    """The key of one value, under a master key."""

    wrapped: bytes = field(repr=False)
    master: str
    """The id of the master key; it tells nothing of the key."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value under a key of its own."""

    content: bytes = field(repr=False)
    key: Wrapped


@dataclass(frozen=True, slots=True)
class SecretVersion:
    name: str
    version: int
    at: datetime
    by: str
    master: str | None = None
    """Under which master key it is; None once its value is no longer kept."""
    removed: bool = False
    """A version that says: from here on there is none."""
