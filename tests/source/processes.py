"""The gits that run on this machine, told by what stands in their commands."""

from pathlib import Path


def commands_with(word: str) -> list[bytes]:
    return [command for command, _ in _processes() if word.encode() in command and b"git" in command]


def environs_with(word: str) -> list[bytes]:
    return [environ for command, environ in _processes() if word.encode() in command and b"git" in command]


def _processes() -> list[tuple[bytes, bytes]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.append(((folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()))
        except OSError:
            continue
    return found
