"""Rings when something may have changed: somebody who looks then need not look all the time.

It listens to the server's events, and to those of whatever server comes after. Where it cannot, it says so, and the
caller looks on its own.
"""

import threading
import time
from pathlib import Path

from reconciler.cli.server import Unreachable, find
from reconciler.misconfigured import Misconfigured

SETTLE = 0.1
"""What happens at once comes as many events, and is one change."""
TRY_EVERY = 1.0
SILENCE = 40.0
"""The server says every 15 seconds that there is nothing new."""


class Bell:
    def __init__(self, data: Path, service: str | None) -> None:
        self.is_heard = False
        self._data = data
        self._query = {"service": service, "progress": True}
        self._rung = threading.Event()
        self._over = threading.Event()

    def __enter__(self) -> "Bell":
        # Nobody waits for its end: it may be in the middle of listening to a server that says nothing.
        threading.Thread(target=self._listen, name="bell", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def wait(self, within: float) -> bool:
        """Whether it rang."""
        if not self._rung.wait(within):
            return False
        time.sleep(SETTLE)
        self._rung.clear()
        return True

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                with find(self._data).stream("/v1/events", self._query, SILENCE) as lines:
                    self.is_heard = True
                    # What happened before is not told here.
                    self._rung.set()
                    for line in lines:
                        if line.startswith(b"event:"):
                            self._rung.set()
            except (Unreachable, Misconfigured, OSError):
                pass
            if self.is_heard:
                self.is_heard = False
                self._rung.set()
            self._over.wait(TRY_EVERY)
