"""What the interpreters of this platform write while they start, into a file that all of them share."""

from dataclasses import dataclass
from pathlib import Path

LARGEST_DIARY = 8 << 20
"""Bytes; then a fresh file is begun."""


@dataclass(frozen=True, slots=True)
class Diary:
    """What an interpreter wrote since it was started, in a file that all of them share."""

    file: Path
    since: int

    @classmethod
    def begin(cls, file: Path) -> "Diary":
        since = file.stat().st_size if file.exists() else 0
        if since > LARGEST_DIARY:
            file.replace(file.with_suffix(".previous.log"))
            since = 0
        return cls(file, since)

    def tail(self, size: int = 4000) -> str | None:
        try:
            return self.file.read_bytes()[self.since :][-size:].decode(errors="replace")
        except OSError:
            return None
