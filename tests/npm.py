"""Packages of npm that hold facts of others: fetched once, kept in the user's cache."""

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reconciler-tests" / "npm"


def package(name: str, version: str) -> Path:
    """The folder of what the package holds, by way of whatever registry npm is configured for."""
    folder = CACHE / f"{name.replace('/', '-').lstrip('@')}-{version}"
    if folder.exists():
        return folder
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, which fetches what others publish")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
        words = ["npm", "pack", f"{name}@{version}", "--silent", "--pack-destination", fresh]
        packed = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=fresh)
        assert packed.returncode == 0, packed.stderr
        with tarfile.open(next(Path(fresh).glob("*.tgz"))) as archive:
            archive.extractall(fresh, filter="data")
        try:
            Path(fresh, "package").rename(folder)
        except OSError:
            assert folder.exists(), "another process was faster"
    return folder
