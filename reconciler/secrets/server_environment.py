"""`env:NAME`: a variable of the server's own environment, set by whoever starts it.

It cannot change while the server runs. Refuses what configures the server itself, and, where the operator says which
names services may ask for, every other.
"""

from collections.abc import Callable, Hashable, Mapping
from fnmatch import fnmatchcase

from reconciler.model.pinned_secret import PinnedSecret
from reconciler.model.secret_reference import SecretReference, split
from reconciler.model.unusable import Unusable
from reconciler.secrets.provider import Absent, Missing
from reconciler.secrets.value import check

Fingerprint = Callable[[str], str]
"""A keyed print of a text; raises `Missing` while there is no key."""


class ServerEnvironment:
    def __init__(self, environ: Mapping[str, str], allowed: tuple[str, ...], fingerprint: Fingerprint) -> None:
        self._environ = environ
        self._allowed = allowed
        self._fingerprint = fingerprint

    def pace(self) -> Hashable:
        return None

    def version(self, wanted: SecretReference) -> str:
        name = split(wanted.reference)[1]
        return self._fingerprint(f"env\0{name}\0{self._value(name)}")

    async def value(self, pinned: PinnedSecret) -> str:
        return self._value(pinned.place)

    def _value(self, name: str) -> str:
        if self._allowed and not any(fnmatchcase(name, pattern) for pattern in self._allowed):
            raise Absent(
                f"services may not have {name} of the server's environment",
                f"allow it with `reconciler serve --secrets-env {name}`",
            )
        value = self._environ.get(name, "")
        try:
            check(value)
        except Unusable as unusable:
            set_it = "set it where the server is started"
            if not value:
                raise Absent(f"the server's environment has no {name}", set_it) from None
            raise Missing(f"the server's environment has no usable {name}: {unusable}", set_it) from None
        return value
