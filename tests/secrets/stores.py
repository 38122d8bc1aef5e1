"""An encrypted store as the platform has one: a real journal, a real key file."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from reconciler.model.pinned_secret import PinnedSecret
from reconciler.model.secret_reference import SecretReference
from reconciler.secrets import EncryptedStore, KeyFile
from reconciler.store.journal import Journal

T = TypeVar("T")


def with_store(
    data: Path, scenario: Callable[[EncryptedStore], Awaitable[T]], *, key: Path | None = None, given: bool = False
) -> T:
    """Open the store of a data folder, do something with it, close it."""

    async def run() -> T:
        journal = Journal(data / "journal.db")
        await journal.open()
        try:
            store = EncryptedStore(journal, KeyFile(key or data / "secrets.key", given))
            await store.open()
            return await scenario(store)
        finally:
            await journal.close()

    return asyncio.run(run())


def pinned(name: str, version: int | str) -> PinnedSecret:
    return PinnedSecret(name, f"store:{name}", str(version))


def wanted(name: str, source: str | None = None) -> SecretReference:
    return SecretReference.model_validate({"name": name} | ({"from": source} if source else {}))


async def current(store: EncryptedStore, name: str) -> str:
    """What a release made now would get."""
    return await store.value(pinned(name, store.version(wanted(name))))
