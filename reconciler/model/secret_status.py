"""Stored secrets as they are told: names, versions, who and when. There is no field that a value would fit in."""

from datetime import datetime

from pydantic import Field

from reconciler.model.status import Told


class SecretStatus(Told):
    name: str
    version: int
    """The newest, which a release made now would get."""
    set_at: datetime
    set_by: str
    used_by: tuple[str, ...] = ()
    """Services whose manifests name it."""


class SecretVersionStatus(Told):
    version: int
    at: datetime
    by: str
    removed: bool = Field(description="From here on there was none.")
    kept: bool = Field(description="Its value is still there, for releases that were made with it.")


class SecretHistory(Told):
    name: str
    versions: tuple[SecretVersionStatus, ...]
    """The oldest first."""


class SecretTaken(Told):
    """What became of a wish about a secret."""

    name: str
    version: int
    changed: bool
    """False where it was so already."""
    message: str
    warnings: tuple[str, ...] = ()


class KeyTaken(Told):
    key: str
    """The id of the master key that protects everything now."""
