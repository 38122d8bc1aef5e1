"""`store:NAME`, the default: values kept encrypted in the journal, under a key that is kept elsewhere.

Setting a secret adds a version; the older ones stay for the releases that were made with them, until no release needs
them. Which names and versions exist is known without the key, so a missing key makes values unreadable and nothing
else. Refuses to begin anew beside values that another key protects.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Collection, Hashable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from reconciler.model.pinned_secret import PinnedSecret
from reconciler.model.secret_reference import SecretReference, split
from reconciler.model.secret_version import Sealed, SecretVersion, Wrapped
from reconciler.secrets.key_file import KeyFile, KeyUnusable
from reconciler.secrets.provider import Absent, Missing
from reconciler.secrets.seal import Damaged, MasterKey, NoSuchKey, label, rewrap, seal, unseal
from reconciler.secrets.value import check

log = logging.getLogger(__name__)

PRINTS = "*prints"
"""A name that no secret can have: the key for prints of values kept elsewhere. It outlives every master key."""
OURS = "reconciler"

Place = tuple[str, int]
"""A name and a version."""


class Books(Protocol):
    """Where sealed values are written down. Each call is one transaction."""

    async def secret_versions(self) -> Sequence[SecretVersion]:
        """All, in the order of names and versions."""

    async def sealed_secret(self, name: str, version: int) -> Sealed | None: ...

    async def add_secret(self, version: SecretVersion, sealed: Sealed | None) -> None: ...

    async def erase_secrets(self, places: Collection[Place]) -> None: ...

    async def wrapped_keys(self) -> Mapping[Place, Wrapped]: ...

    async def set_wrapped_keys(self, keys: Mapping[Place, Wrapped]) -> None: ...


class Locked(Exception):
    """The store cannot be opened at the moment, or not for this; says why and what to do."""


class EncryptedStore:
    def __init__(self, books: Books, key_file: KeyFile) -> None:
        self.trouble: KeyUnusable | None = KeyUnusable("the store of secrets is not open yet", "wait for it")
        """Why no value can be read or set."""
        self._books = books
        self._file = key_file
        self._keys: tuple[MasterKey, ...] = ()
        self._prints = b""
        self._versions: dict[str, list[SecretVersion]] = {}
        self._changes = 0
        self._turn = asyncio.Lock()

    # Its life

    async def open(self) -> None:
        """Learn what there is, and unlock it. What goes wrong is kept as `trouble`; this may be tried again."""
        async with self._turn:
            before = self.trouble
            await self._reread()
            try:
                await self._unlock()
            except KeyUnusable as trouble:
                self._keys, self.trouble = (), trouble
                if before is None or before.message != trouble.message:
                    log.error("secrets cannot be read: %s", trouble)
            else:
                self.trouble = None
            self._changes += 1

    async def retry(self) -> None:
        """Open it again where that failed: somebody may have brought the key back."""
        if self.trouble is not None:
            await self.open()

    async def _unlock(self) -> None:
        self._keys = await asyncio.to_thread(self._read_keys)
        try:
            self._prints = await self._open_value(PRINTS, self._versions[PRINTS][-1].version)
        except (KeyError, NoSuchKey, Damaged) as error:
            self._check_that_nothing_is_lost(error)
            added = await self._add(PRINTS, secrets.token_bytes(32), OURS)
            self._prints = await self._open_value(PRINTS, added.version)
        if len(self._keys) > 1 and not self._file.is_given:
            # A former change of keys did not come to its end. Both keys are here, so nothing is lost at any point.
            with suppress(Locked):
                await self._change_to(self._keys[0])

    def _read_keys(self) -> tuple[MasterKey, ...]:
        keys = self._file.read()
        if keys:
            return keys
        path, in_use = self._file.path, ", ".join(self._in_use())
        if in_use:
            raise KeyUnusable(
                f"the secrets' key file {path} is missing, which holds the key {in_use}", "restore it from a copy"
            )
        if self._file.is_given:
            raise KeyUnusable(f"there is no secrets' key file {path}", "make it: 32 random bytes in base64")
        try:
            self._file.write([key := MasterKey.fresh()])
        except OSError as error:
            raise KeyUnusable(f"the secrets' key file {path} cannot be written: {error.strerror}", "mend it") from error
        return (key,)

    def _in_use(self) -> list[str]:
        """The master keys that protect what a release made now would get."""
        newest = (self.newest(name) for name in self.names())
        return sorted({one.master for one in newest if one is not None and one.master is not None})

    def _check_that_nothing_is_lost(self, error: Exception) -> None:
        """Beginning anew is for a store in which there is nothing yet, or nothing any more."""
        if isinstance(error, NoSuchKey) and self.names():
            mine = ", ".join(key.id for key in self._keys)
            raise KeyUnusable(
                f"the secrets' key file {self._file.path} holds another key ({mine}) than the one in use ({error})",
                "restore that one",
            ) from error
        if isinstance(error, Damaged):
            raise KeyUnusable("the stored secrets are damaged", "restore the journal from a copy") from error

    # As a provider

    def pace(self) -> Hashable:
        return self._changes, self._file.print() if self.trouble is not None else None

    def version(self, wanted: SecretReference) -> str:
        name = split(wanted.reference)[1]
        newest = self.newest(name)
        if newest is None:
            raise Absent(f"there is no secret {name}", _set_it(name))
        if self.trouble is not None:
            raise Missing(f"the secret {name} cannot be read: {self.trouble.message}", self.trouble.remedy)
        return str(newest.version)

    async def value(self, pinned: PinnedSecret) -> str:
        name, version = pinned.place, int(pinned.version)
        if self.trouble is not None:
            raise Missing(f"the secret {name} cannot be read: {self.trouble.message}", self.trouble.remedy)
        try:
            return (await self._open_value(name, version)).decode()
        except LookupError:
            raise Missing(f"version {version} of the secret {name} is no longer kept", _set_it(name)) from None
        except NoSuchKey as other:
            raise Missing(f"the secret {name} is under another key ({other})", _set_it(name)) from other
        except Damaged as damaged:
            raise Missing(
                f"what is stored as version {version} of the secret {name} was changed or moved there", _set_it(name)
            ) from damaged

    def fingerprint(self, text: str) -> str:
        """A print of a value that is kept elsewhere. Keyed: who reads it cannot find the value by guessing."""
        if self.trouble is not None:
            raise Missing(f"no secret can be read: {self.trouble.message}", self.trouble.remedy)
        return hmac.new(self._prints, text.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()

    # What is known of it

    def names(self) -> list[str]:
        """Those that are set."""
        return sorted(name for name in self._versions if name != PRINTS and self.newest(name) is not None)

    def versions(self, name: str) -> tuple[SecretVersion, ...]:
        """The oldest first, the word that it is removed included; none for what never was."""
        return tuple(self._versions.get(name, ())) if name != PRINTS else ()

    def newest(self, name: str) -> SecretVersion | None:
        """What a release made now would get."""
        found = self.versions(name)
        return found[-1] if found and not found[-1].removed else None

    # What people do to it

    async def set(self, name: str, value: str, by: str) -> SecretVersion | None:
        """A new version; None where the newest has this value already. Raises `Unusable` or `Locked`."""
        check(value)
        async with self._turn:
            self._check_open()
            newest = self.newest(name)
            if newest is not None and await self._holds(newest, value):
                return None
            return await self._add(name, value.encode(), by)

    async def remove(self, name: str, by: str) -> SecretVersion | None:
        """From here on there is none; None where there was none."""
        async with self._turn:
            newest = self.newest(name)
            if newest is None:
                return None
            return await self._write_down(SecretVersion(name, newest.version + 1, _now(), by, removed=True), None)

    def superseded(self) -> frozenset[Place]:
        """Versions whose values are kept, and that no release made now would get."""
        return frozenset(
            (one.name, one.version)
            for name in self._versions.keys() - {PRINTS}
            for one in self._versions[name]
            if one.master is not None and one is not self.newest(name)
        )

    async def erase_unneeded(self, needed: Collection[Place]) -> None:
        """Forget values that no release has any more, and that none would get; who set them when is kept."""
        async with self._turn:
            if spare := self.superseded().difference(needed):
                await self._books.erase_secrets(spare)
                await self._reread()

    async def rotate_key(self) -> str:
        """Put everything under a new master key, and forget the old one. The new key's id. Raises `Locked`.

        Three steps, each whole or not done: both keys into the file, every data key under the new one, the new one
        alone into the file. Wherever this is interrupted, the next start carries it on.
        """
        async with self._turn:
            self._check_open()
            if self._file.is_given:
                new = await self._given_key()
            else:
                new = MasterKey.fresh()
                keys = (new, *self._keys)
                await self._write_keys(keys)
                self._keys = keys
            await self._change_to(new)
            return new.id

    async def _given_key(self) -> MasterKey:
        try:
            keys = await asyncio.to_thread(self._file.read)
        except KeyUnusable as unusable:
            raise Locked(str(unusable)) from unusable
        in_use = {key.master for key in (await self._books.wrapped_keys()).values()}
        if not keys or not in_use <= {key.id for key in keys} or in_use == {keys[0].id}:
            raise Locked(
                f"the secrets' key file {self._file.path} is yours; write a new key on its first line, above the one "
                f"in use ({', '.join(sorted(in_use))}), and run this again"
            )
        self._keys = keys
        return keys[0]

    async def _change_to(self, new: MasterKey) -> None:
        masters, keys = self._masters(), await self._books.wrapped_keys()
        fresh: dict[Place, Wrapped] = {}
        for place, key in keys.items():
            # What does not open is no worse for staying as it is.
            with suppress(Damaged, NoSuchKey):
                fresh[place] = rewrap(key, label(*place), masters, new)
        await self._books.set_wrapped_keys(fresh)
        if not self._file.is_given:
            await self._write_keys([new])
            self._keys = (new,)
        await self._reread()

    async def _write_keys(self, keys: Sequence[MasterKey]) -> None:
        try:
            await asyncio.to_thread(self._file.write, keys)
        except OSError as error:
            raise Locked(f"the secrets' key file {self._file.path} cannot be written: {error.strerror}") from error

    def _check_open(self) -> None:
        if self.trouble is not None:
            raise Locked(str(self.trouble))

    async def _holds(self, version: SecretVersion, value: str) -> bool:
        try:
            stored = await self._open_value(version.name, version.version)
        except (LookupError, Damaged, NoSuchKey):
            return False
        return hmac.compare_digest(stored, value.encode())

    async def _add(self, name: str, value: bytes, by: str) -> SecretVersion:
        number = self._versions[name][-1].version + 1 if name in self._versions else 1
        sealed = seal(value, label(name, number), self._keys[0])
        return await self._write_down(SecretVersion(name, number, _now(), by, sealed.key.master), sealed)

    async def _write_down(self, version: SecretVersion, sealed: Sealed | None) -> SecretVersion:
        await self._books.add_secret(version, sealed)
        self._versions.setdefault(version.name, []).append(version)
        self._changes += 1
        return version

    async def _open_value(self, name: str, version: int) -> bytes:
        sealed = await self._books.sealed_secret(name, version)
        if sealed is None:
            raise LookupError(name)
        return unseal(sealed, label(name, version), self._masters())

    async def _reread(self) -> None:
        fresh: dict[str, list[SecretVersion]] = {}
        for version in await self._books.secret_versions():
            fresh.setdefault(version.name, []).append(version)
        self._versions = fresh

    def _masters(self) -> Mapping[str, MasterKey]:
        return {key.id: key for key in self._keys}


def _set_it(name: str) -> str:
    return f"run `reconciler secrets set {name}`"


def _now() -> datetime:
    return datetime.now(UTC)
