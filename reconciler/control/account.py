"""What is told about one service: facts go in, conditions and events come out.

Everybody who learns something about the service notes it here and nowhere else. Decides nothing.
"""

import asyncio
from collections import deque
from datetime import UTC, datetime

from reconciler.model.failure import Failure
from reconciler.model.names import Digest, ReleaseId, ServiceName
from reconciler.model.standing import Standing, conditions
from reconciler.model.status import Condition
from reconciler.model.verdict import Report
from reconciler.model.word import SILENT, Word
from reconciler.store.journal import Journal
from reconciler.store.rows import EventRow

EVENTS = 20


class Account:
    def __init__(self, name: ServiceName, journal: Journal) -> None:
        self.name = name
        self.serving: str | None = None
        self.syncing: str | None = None
        self.trouble: Failure | None = None
        self.suspended = False
        self.rolled_back: str | None = None
        self.word: Word = SILENT
        self.attempted: str | None = None
        self.applied: str | None = None
        self.changed: str | None = None
        self.candidate: ReleaseId | None = None
        self.report: Report | None = None
        """What a suite concluded last, about the candidate or the live release."""
        self.failed: dict[Digest, Failure] = {}
        """What was tried in vain, and why; not tried again until somebody asks."""
        self.conditions: tuple[Condition, ...] = ()
        self.events: deque[EventRow] = deque(maxlen=EVENTS)
        """The last that happened, oldest first."""
        self._journal = journal
        self._writing: set[asyncio.Task[None]] = set()
        self.tell()

    def tell(self) -> None:
        """Say anew how the service stands, from the facts as they are now."""
        standing = Standing(self.serving, self.syncing, self.trouble, self.suspended, self.rolled_back, self.word)
        self.conditions = conditions(standing, self.conditions, datetime.now(UTC))

    def happened(self, kind: str, message: str, release: ReleaseId | None = None) -> None:
        task = asyncio.create_task(self._record(kind, message, release))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _record(self, kind: str, message: str, release: ReleaseId | None) -> None:
        at = datetime.now(UTC)
        number = await self._journal.event(kind, message, self.name, release, at=at)
        self.events.append(EventRow(id=number, at=at, kind=kind, service=self.name, release=release, message=message))
