"""Which repository a folder belongs to: what `check`, `lock` and `new` work on without a server."""

from pathlib import Path

from reconciler.misconfigured import Misconfigured


def root_of(path: Path) -> Path:
    """Where services.yaml is, or else the repository's root, or else here."""
    if not path.is_dir():
        raise Misconfigured(f"{path} is no folder" if path.exists() else f"{path} does not exist")
    around = [path, *path.parents]
    for mark in ("services.yaml", ".git"):
        for folder in around:
            if (folder / mark).exists():
                return folder
    return path
