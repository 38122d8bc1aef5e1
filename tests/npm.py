"""Packages of npm that hold facts or programs of others: fetched once, by way of whatever registry is set up."""

import os
import shutil
import subprocess
import tarfile
from functools import partial
from pathlib import Path

from tests.downloads import kept


def package(name: str, version: str) -> Path:
    """The folder of what the package itself holds."""
    return kept(_folder("npm", name, version), partial(_pack, name, version)) / "package"


def installed(name: str, version: str) -> Path:
    """The folder of the package, with all that it needs beside it."""
    folder = kept(_folder("npm-installed", name, version), partial(_install, name, version))
    return folder / "node_modules" / name


def _folder(kind: str, name: str, version: str) -> str:
    return f"{kind}-{name.lstrip('@').replace('/', '-')}-{version}"


def _pack(name: str, version: str, into: Path) -> None:
    _npm("pack", f"{name}@{version}", "--silent", "--pack-destination", str(into), at=into)
    archive = next(into.glob("*.tgz"))
    with tarfile.open(archive) as packed:
        packed.extractall(into, filter="data")
    archive.unlink()


def _install(name: str, version: str, into: Path) -> None:
    _npm("install", "--prefix", str(into), "--ignore-scripts", "--no-audit", "--no-fund", f"{name}@{version}", at=into)


def _npm(*words: str, at: Path) -> None:
    npm = shutil.which("npm")
    assert npm is not None, "npm fetches what others publish: install Node.js"
    done = subprocess.run([npm, *words], capture_output=True, text=True, timeout=300, cwd=at, env=dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
