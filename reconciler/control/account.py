"""What is told about one service: facts go in, conditions and events come out.

Everybody who learns something about the service notes it here and nowhere else. Decides nothing.
"""

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime

from reconciler.control.memory import EVENTS, NOTHING, Memory
from reconciler.model.failure import Failure
from reconciler.model.names import Digest, ReleaseId, ServiceName
from reconciler.model.standing import Standing, conditions
from reconciler.model.status import Condition
from reconciler.model.verdict import Report
from reconciler.model.word import Word
from reconciler.store.journal import Journal
from reconciler.store.rows import EventRow
from reconciler.store.unusable import StoreUnusable

log = logging.getLogger(__name__)


class Account:
    def __init__(self, name: ServiceName, journal: Journal, memory: Memory = NOTHING) -> None:
        self.name = name
        self.serving: str | None = None
        self.syncing: str | None = None
        self.trouble: Failure | None = None
        self.suspended = False
        self.rolled_back: str | None = memory.rolled_back
        self.word: Word = memory.word
        self.attempted: str | None = None
        self.applied: str | None = None
        self.changed: str | None = None
        self.candidate: ReleaseId | None = None
        self.report: Report | None = None
        """What a suite concluded last, about the candidate or the live release."""
        self.failed: dict[Digest, Failure] = dict(memory.failed)
        """What was tried in vain, and why; not tried again until somebody asks."""
        self.gone = False
        """Git no longer holds it: nothing about it is kept any more."""
        self.conditions: tuple[Condition, ...] = memory.conditions
        self.events: deque[EventRow] = deque(memory.events, maxlen=EVENTS)
        """The last that happened, oldest first."""
        self._journal = journal
        self._kept = _lasting(self.conditions)
        self._writing: set[asyncio.Task[None]] = set()
        if not self.conditions:
            self.tell()

    def tell(self) -> None:
        """Say anew how the service stands, from the facts as they are now."""
        standing = Standing(self.serving, self.syncing, self.trouble, self.suspended, self.rolled_back, self.word)
        self.conditions = conditions(standing, self.conditions, datetime.now(UTC))
        lasting = _lasting(self.conditions)
        if lasting != self._kept and not self.gone and _is_known(self.conditions):
            self._kept = lasting
            plain = [condition.model_dump(mode="json") for condition in self.conditions if condition.type != "Syncing"]
            self._journal.later(lambda entries: entries.note_service(self.name, conditions=plain))

    def happened(self, kind: str, message: str, release: ReleaseId | None = None) -> None:
        task = asyncio.create_task(self._record(kind, message, release))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _record(self, kind: str, message: str, release: ReleaseId | None) -> None:
        at = datetime.now(UTC)
        try:
            number = await self._journal.event(kind, message, self.name, release, at=at)
        except StoreUnusable:
            log.exception("an event could not be written down", extra={"service": self.name})
            return
        self.events.append(EventRow(id=number, at=at, kind=kind, service=self.name, release=release, message=message))


def _lasting(told: tuple[Condition, ...]) -> list[tuple[str, str, str, datetime]]:
    """What a next control has to know to tell the same: not the wording, and not what is under way."""
    return [(one.type, one.status, one.reason, one.since) for one in told if one.type != "Syncing"]


def _is_known(told: tuple[Condition, ...]) -> bool:
    return any(one.type == "Ready" and one.status != "Unknown" for one in told)
