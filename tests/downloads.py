"""Programs that tests need and Python packages do not carry: fetched once, kept below the user's cache folder."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def kept(name: str, fetch: Callable[[Path], None]) -> Path:
    """The folder of that name; `fetch` fills a new one. Several that come at once do not disturb one another."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reconciler-tests"
    there = cache / name
    if not there.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=cache))
        try:
            fetch(fresh)
            if not there.exists():
                fresh.rename(there)
        except OSError:
            if not there.exists():
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return there
