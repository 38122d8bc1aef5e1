"""What people do to the encrypted store: set, remove, list, change the key.

Each change is told as an event, with who made it, and asks for a sync: whoever uses the secret gets a new release, or
comes back to life. Refuses to give a value to anybody.
"""

from reconciler.control.feed import Feed
from reconciler.control.loop import Loop
from reconciler.control.secrets import Secrets
from reconciler.model.notice import Kind
from reconciler.model.refusal import Refusal, Unknown
from reconciler.model.secret_status import KeyTaken, SecretHistory, SecretStatus, SecretTaken, SecretVersionStatus
from reconciler.model.secret_version import SecretVersion
from reconciler.secrets import EncryptedStore, Locked, value


class Safekeeping:
    def __init__(self, store: EncryptedStore, secrets: Secrets, loop: Loop, feed: Feed) -> None:
        self._store = store
        self._secrets = secrets
        self._loop = loop
        self._feed = feed

    def secrets(self) -> list[SecretStatus]:
        """All that are set, in name order."""
        found = ((name, self._store.newest(name)) for name in self._store.names())
        return [self._status(newest) for _, newest in found if newest is not None]

    def history(self, name: str) -> SecretHistory:
        versions = self._store.versions(name)
        if not versions:
            raise Unknown(f"there never was a secret {name}")
        told = (
            SecretVersionStatus(
                version=one.version, at=one.at, by=one.by, removed=one.removed, kept=one.master is not None
            )
            for one in versions
        )
        return SecretHistory(name=name, versions=tuple(told))

    async def set(self, name: str, text: str, actor: str) -> SecretTaken:
        """Raises `Unusable` for what cannot be a value."""
        try:
            added = await self._store.set(name, text, actor)
        except Locked as locked:
            raise Refusal(str(locked)) from locked
        warnings = value.warnings(text)
        if added is None:
            newest = self._store.versions(name)[-1].version
            message = f"{name} has this value already, as version {newest}"
            return SecretTaken(name=name, version=newest, changed=False, message=message, warnings=warnings)
        await self._tell(Kind.SECRET_SET, f"{actor} set {name}, version {added.version}", added, actor)
        message = f"{name} is set, version {added.version}{self._who_follows(name)}"
        return SecretTaken(name=name, version=added.version, changed=True, message=message, warnings=warnings)

    async def remove(self, name: str, actor: str) -> SecretTaken:
        versions = self._store.versions(name)
        if not versions:
            raise Unknown(f"there is no secret {name}")
        removed = await self._store.remove(name, actor)
        if removed is None:
            return SecretTaken(
                name=name, version=versions[-1].version, changed=False, message=f"{name} is gone already"
            )
        await self._tell(Kind.SECRET_REMOVED, f"{actor} removed {name}", removed, actor)
        users = ", ".join(self._secrets.users(name))
        kept = f"; what runs of {users} keeps its value, new releases are refused" if users else ""
        return SecretTaken(name=name, version=removed.version, changed=True, message=f"{name} is removed{kept}")

    async def rotate_key(self, actor: str) -> KeyTaken:
        try:
            key = await self._store.rotate_key()
        except Locked as locked:
            raise Refusal(str(locked)) from locked
        self._feed.happened(Kind.SECRETS_KEY_CHANGED, f"{actor} put all secrets under the new key {key}")
        return KeyTaken(key=key)

    async def _tell(self, kind: Kind, message: str, version: SecretVersion, actor: str) -> None:
        self._feed.happened(kind, message, data={"secret": version.name, "version": version.version})
        # The watch would find it too; this way the sync is asked for at once, and in the name of whoever did it.
        self._secrets.news()
        await self._loop.triggers.ask("secret", actor)

    def _who_follows(self, name: str) -> str:
        users = ", ".join(self._secrets.users(name))
        return f"; {users} will have it with the release that follows" if users else "; no service names it yet"

    def _status(self, newest: SecretVersion) -> SecretStatus:
        return SecretStatus(
            name=newest.name,
            version=newest.version,
            set_at=newest.at,
            set_by=newest.by,
            used_by=tuple(self._secrets.users(newest.name)),
        )
