"""Values that somebody gives to one command, `check` or `plan`, which has no server to ask.

What CI has as environment variables is found under the variable's own name, wherever the manifest says that the server
keeps it; files of the command line come first. Refuses to open a data folder: those are the values of production.
"""

from collections.abc import Hashable, Mapping

from reconciler.model.pinned_secret import PinnedSecret
from reconciler.model.secret_reference import SecretReference, split
from reconciler.model.unusable import Unusable
from reconciler.secrets.provider import Absent, Missing
from reconciler.secrets.value import check

GIVEN = "given"


class Given:
    def __init__(self, values: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._values = values
        self._environ = environ

    def pace(self) -> Hashable:
        return None

    def version(self, wanted: SecretReference) -> str:
        self._value(wanted.name, wanted.reference)
        return GIVEN

    async def value(self, pinned: PinnedSecret) -> str:
        return self._value(pinned.name, pinned.reference)

    def _value(self, name: str, reference: str) -> str:
        provider, place, _ = split(reference)
        value = self._values.get(name) or self._environ.get(name, "")
        if not value and provider == "env":
            value = self._environ.get(place, "")
        try:
            check(value)
        except Unusable as unusable:
            if not value:
                set_it = f"set {name} in the environment, or in a file given with --env-file"
                raise Absent(f"the secret {name} is not given", set_it) from None
            raise Missing(f"the secret {name} cannot be used: {unusable}", "give another value") from None
        return value
