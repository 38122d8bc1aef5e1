"""The digest of a service: one hash of all that decides what would run.

Equal digests mean nothing to do, whatever the revision. The parts are kept beside the whole, so that a
plan can say which of them moved.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from reconciler.model.names import Digest

PARTS = ("code", "shared", "environment", "configuration", "secrets")


@dataclass(frozen=True)
class Ingredients:
    code: str
    """The git tree of the service's folder."""
    shared: str = ""
    """The git objects of its watched paths, in order."""
    environment: str = ""
    """What its requirements ask for, or the lock where the folder holds one."""
    configuration: str = ""
    """The effective manifest, defaults and overrides merged, and the prefix it answers at."""
    secrets: str = ""
    """Names and versions of the secrets, never values."""

    @cached_property
    def digest(self) -> Digest:
        return Digest(fingerprint({part: getattr(self, part) for part in PARTS}))

    @cached_property
    def in_git(self) -> Digest:
        """The digest of all but the secrets: equal while nothing moved that git holds."""
        return replace(self, secrets="").digest

    def moved(self, other: "Ingredients") -> tuple[str, ...]:
        """Which parts differ, in the order people care about them."""
        return tuple(part for part in PARTS if getattr(self, part) != getattr(other, part))


def fingerprint(value: object) -> str:
    """A hash of plain data that does not depend on the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"not plain data: {type(value).__name__}")
