"""Secrets as they are kept: one row for each version, its value sealed, who set it and when in clear.

Only ciphertext comes in and goes out; the keys to it are nowhere near. A row whose value is no longer needed stays as
a line of history.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import bindparam, delete, select, update

from reconciler.model.secret_version import Sealed, SecretVersion, Wrapped
from reconciler.store.entries import Entries, inserting
from reconciler.store.tables import Secret

VERSIONS_KEPT = 100
"""Lines of history per name; those that still hold a value are kept beyond that."""

_INSERT = inserting(Secret)
_THIS_ONE = (Secret.name == bindparam("of_name"), Secret.version == bindparam("of_version"))
_REWRAP = update(Secret.__table__).where(*_THIS_ONE).values(wrapped=bindparam("key"), master=bindparam("under"))  # type: ignore[arg-type]
_ERASE = update(Secret.__table__).where(*_THIS_ONE).values(content=None, wrapped=None, master=None)  # type: ignore[arg-type]


class SecretEntries(Entries):
    def secret_versions(self) -> tuple[SecretVersion, ...]:
        """All, in the order of names and versions."""
        query = select(Secret.name, Secret.version, Secret.at, Secret.by, Secret.master, Secret.removed)
        rows = self._connection.execute(query.order_by(Secret.name, Secret.version)).mappings()
        return tuple(SecretVersion(**row) for row in rows)

    def sealed_secret(self, name: str, version: int) -> Sealed | None:
        query = select(Secret.content, Secret.wrapped, Secret.master)
        row = self._connection.execute(query.where(Secret.name == name, Secret.version == version)).first()
        if row is None or row.content is None:
            return None
        return Sealed(row.content, Wrapped(row.wrapped, row.master))

    def add_secret(self, version: SecretVersion, sealed: Sealed | None) -> None:
        known = {"name": version.name, "version": version.version, "at": version.at, "by": version.by}
        kept = {
            "content": sealed.content if sealed else None,
            "wrapped": sealed.key.wrapped if sealed else None,
            "master": sealed.key.master if sealed else None,
        }
        self._connection.execute(_INSERT, {**known, **kept, "removed": version.removed})
        old = delete(Secret).where(
            Secret.name == version.name, Secret.version <= version.version - VERSIONS_KEPT, Secret.content.is_(None)
        )
        self._connection.execute(old)

    def erase_secrets(self, places: Collection[tuple[str, int]]) -> None:
        for name, version in places:
            self._connection.execute(_ERASE, {"of_name": name, "of_version": version})

    def wrapped_keys(self) -> Mapping[tuple[str, int], Wrapped]:
        query = select(Secret.name, Secret.version, Secret.wrapped, Secret.master).where(Secret.wrapped.is_not(None))
        return {(row.name, row.version): Wrapped(row.wrapped, row.master) for row in self._connection.execute(query)}

    def set_wrapped_keys(self, keys: Mapping[tuple[str, int], Wrapped]) -> None:
        for (name, version), key in keys.items():
            values = {"of_name": name, "of_version": version, "key": key.wrapped, "under": key.master}
            self._connection.execute(_REWRAP, values)
