"""`file:PATH#KEY`: a line of a dotenv file that the operator allowed.

A manifest names one of the allowed files, by its name or its whole path; it cannot make the server open any other.
Read as text, without expanding anything: `${HOME}` in a value stays what it is.
"""

import io
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from reconciler.model.pinned_secret import PinnedSecret
from reconciler.model.secret_reference import SecretReference, split
from reconciler.model.unusable import Unusable
from reconciler.secrets.provider import Absent, Missing
from reconciler.secrets.server_environment import Fingerprint
from reconciler.secrets.value import check

LARGEST = 4 * 1024 * 1024


class DotenvFiles:
    def __init__(self, allowed: Sequence[Path], fingerprint: Fingerprint) -> None:
        self._allowed = tuple(allowed)
        self._fingerprint = fingerprint

    def pace(self) -> Hashable:
        return tuple(map(_state, self._allowed))

    def version(self, wanted: SecretReference) -> str:
        _, place, key = split(wanted.reference)
        key = key or wanted.name
        return self._fingerprint(f"file\0{place}\0{key}\0{self._value(place, key)}")

    async def value(self, pinned: PinnedSecret) -> str:
        return self._value(pinned.place, pinned.key)

    def _value(self, place: str, key: str) -> str:
        path = self._find(place)
        try:
            value = read(path).get(key, "")
            check(value)
        except FileNotFoundError as error:
            raise Absent(f"there is no file {place}", f"make it, with a line `{key}=…`") from error
        except OSError as error:
            raise Missing(f"the file {place} cannot be read: {error.strerror or error}", "mend it") from error
        except (UnicodeDecodeError, TooLarge) as error:
            raise Missing(f"the file {place} is no dotenv file", "write `NAME=value` on each line") from error
        except Unusable as unusable:
            if not value:
                raise Absent(f"the file {place} has no {key}", f"add a line `{key}=…` to it") from None
            raise Missing(f"{key} of the file {place} cannot be used: {unusable}", "change it") from None
        return value

    def _find(self, place: str) -> Path:
        named = [path for path in self._allowed if place in (path.name, str(path))]
        if len(named) == 1:
            return named[0]
        if named:
            raise Missing(f"{len(named)} allowed files are called {place}", "name the one that is meant by its path")
        raise Absent(
            f"no file {place} was allowed by the operator",
            f"allow it with `reconciler serve --secrets-file {place}`",
        )


class TooLarge(Exception):
    """Nobody writes that many settings."""


def read(path: Path) -> dict[str, str]:
    """Every `NAME=value` of a file."""
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise TooLarge
    found = dotenv_values(stream=io.StringIO(content.decode("utf-8-sig")), interpolate=False)
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _State:
    changed: int
    size: int
    number: int


def _state(path: Path) -> _State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _State(found.st_mtime_ns, found.st_size, found.st_ino)
