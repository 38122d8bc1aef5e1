"""The Python that environments are made of: the one the platform itself runs on, without our packages."""

import platform
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Interpreter:
    program: Path
    version: str
    """In full: `3.11.7`."""
    platform: str
    """What wheels are chosen by: `linux-x86_64-glibc`."""

    @property
    def series(self) -> str:
        """`3.11`. A patch release resolves to the same packages, so locks and environments outlive it."""
        return ".".join(self.version.split(".")[:2])

    @property
    def places(self) -> dict[str, str]:
        return {str(self.program.parent.parent): "python"}


def our_own() -> Interpreter:
    """The base of the interpreter that runs this, since a virtual environment would bring our packages along."""
    series = f"{sys.version_info[0]}.{sys.version_info[1]}"
    base = Path(sys.base_prefix) / "bin" / f"python{series}"
    libc = platform.libc_ver()[0] or "libc"
    return Interpreter(
        base if base.exists() else Path(sys.executable),
        platform.python_version(),
        f"{sysconfig.get_platform()}-{libc}-{sys.implementation.name}",
    )
