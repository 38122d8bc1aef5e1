"""The file that holds the master key, outside of the database that it protects.

One key per line, in base64; the first is the one in use. A second line is there only while keys are being changed:
whatever is found at the next start, interrupted at whichever point, opens with one of the two. A file that the operator
gave is read and never written. Refuses a file that everybody on the machine can read.
"""

import base64
import binascii
import os
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from reconciler.secrets.seal import KEY_BYTES, MasterKey

LARGEST = 64 * 1024
FOR_OTHERS = 0o007


class KeyUnusable(Exception):
    """What is wrong with the file, and what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class KeyFile:
    path: Path
    is_given: bool = False
    """By the operator, who makes, changes and removes it."""

    def read(self) -> tuple[MasterKey, ...]:
        """The one in use first; none where there is no file."""
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(LARGEST).decode("ascii")
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise KeyUnusable(f"the secrets' key file {self.path} cannot be read: {why}", "mend it") from error
        if mode & FOR_OTHERS:
            raise KeyUnusable(f"everybody can read the secrets' key file {self.path}", f"run `chmod 600 {self.path}`")
        lines = (line.strip() for line in text.splitlines())
        keys = tuple(self._key(line) for line in lines if line and not line.startswith("#"))
        if not keys:
            raise KeyUnusable(f"the secrets' key file {self.path} is empty", "restore it from a copy")
        return keys

    def write(self, keys: Iterable[MasterKey]) -> None:
        """In one step, and on the disk when this returns: what follows relies on it."""
        text = "".join(f"{base64.b64encode(key.material).decode()}\n" for key in keys)
        beside = self.path.with_name(f".{self.path.name}.new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def print(self) -> Hashable:
        """Changes when the file does."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode

    def _key(self, line: str) -> MasterKey:
        try:
            material = base64.b64decode(line.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            material = b""
        if len(material) != KEY_BYTES:
            raise KeyUnusable(
                f"the secrets' key file {self.path} holds a line that is no key",
                f"write {KEY_BYTES} random bytes in base64, as `openssl rand -base64 {KEY_BYTES}` prints them",
            )
        return MasterKey(material)
