"""What goes wrong with the workers of what serves: said once, and taken back when they have been well for a while."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from reconciler.control.account import Account
from reconciler.model.failure import Reason, Stalled
from reconciler.model.notice import Kind
from reconciler.worker.crew import CRASH_WINDOW, Crew, trouble_of
from reconciler.worker.processes import Process, process_crash_loop

log = logging.getLogger(__name__)


class CrewTrouble:
    def __init__(self, account: Account, is_live: Callable[[Crew], bool]) -> None:
        self._account = account
        self._is_live = is_live
        self._said: Stalled | None = None
        """Of the workers, the last."""
        self._looping: Crew | None = None

    def attend(self, crew: Crew) -> None:
        crew.on_trouble = self._crew_in_trouble
        crew.processes.on_crash_loop = partial(self._process_crash_looped, crew)
        crew.processes.on_calm = partial(self._calm_again, crew)

    def take_back(self) -> bool:
        """Whether there was anything to take back."""
        trouble = self._account.trouble
        if trouble is None or not (trouble is self._said or trouble.reason is Reason.CRASH_LOOP):
            return False
        self._account.trouble = None
        return True

    def _crew_in_trouble(self, crew: Crew) -> None:
        if crew.crash_looping and self._looping is not crew:
            self._looping = crew
            self._crash_looped(trouble_of(crew), crew)
        self._account.trouble = self._said = trouble_of(crew)
        asyncio.get_running_loop().call_later(CRASH_WINDOW, self._calm_again, crew)
        self._account.tell()

    def _process_crash_looped(self, crew: Crew, process: Process) -> None:
        trouble = process_crash_loop(crew.spec.release, process)
        if self._account.trouble is None or self._account.trouble.reason is not Reason.CRASH_LOOP:
            self._crash_looped(trouble, crew)
        self._account.trouble = trouble
        self._account.tell()

    def _crash_looped(self, trouble: Stalled, crew: Crew) -> None:
        self._account.happened(Kind.CRASH_LOOPED, trouble.message, crew.spec.release)
        about = {"service": self._account.name, "release": crew.spec.release, "reason": trouble.reason}
        log.warning(trouble.message, extra=about)

    def _calm_again(self, crew: Crew) -> None:
        """A crew that has stopped crashing is well again; nobody has to say so."""
        if not self._is_live(crew) or crew.in_trouble or self._account.trouble is None:
            return
        self._looping = None
        if self.take_back():
            self._account.tell()
