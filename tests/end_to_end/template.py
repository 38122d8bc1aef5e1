"""What platforms begin with: the plain environment, built once per session, and a journal in which nothing is.

Every platform starts from a copy that costs a few links.
"""

import fcntl
from pathlib import Path

from reconciler.store.opening import open_database
from tests.end_to_end.platform import UNWRITTEN, Platform
from tests.end_to_end.samples import PLATFORM, service


def template_in(folder: Path) -> Path:
    """A data folder made there: once, however many processes run tests."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # The others wait for the first, and find what it has made.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            _build(folder)
    return folder / "data"


def _build(folder: Path) -> None:
    with Platform(folder) as platform:
        platform.commit({"services.yaml": PLATFORM, **service("warm")})
        platform.start(ready_within=180)
        assert platform.version("warm") == "1", platform.said()
        platform.stop()
    open_database(folder / "data" / UNWRITTEN).close()
    (folder / "built").touch()
