"""What differs between two sets of resolved packages."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackageChange:
    name: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        if self.old is None:
            return f"{self.name} {self.new} added"
        if self.new is None:
            return f"{self.name} {self.old} removed"
        return f"{self.name} {self.old} → {self.new}"


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[PackageChange, ...]:
    """What differs between two sets of resolved packages, by name."""
    names = sorted(old.keys() | new.keys())
    return tuple(PackageChange(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))
