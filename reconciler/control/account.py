"""What is told about one service: facts go in, conditions and events come out.

Everybody who learns something about the service notes it here and nowhere else. Decides nothing.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from reconciler.control.feed import Feed
from reconciler.control.memory import EVENTS, NOTHING, Memory
from reconciler.model.failure import Failure
from reconciler.model.names import Digest, ReleaseId, ServiceName, SyncId
from reconciler.model.notice import Kind, Notice
from reconciler.model.standing import Standing, conditions
from reconciler.model.status import Condition
from reconciler.model.verdict import Report
from reconciler.model.word import Word
from reconciler.store.journal import Journal
from reconciler.store.releases import FAILED_KEPT
from reconciler.store.rows import EventRow


class Account:
    def __init__(self, name: ServiceName, journal: Journal, feed: Feed, memory: Memory = NOTHING) -> None:
        self.name = name
        self.sync: SyncId | None = None
        """The one that asked last for something."""
        self.serving: str | None = None
        self.down = False
        """Whoever should serve keeps ending, and is not there at the moment."""
        self.syncing: str | None = None
        self.trouble: Failure | None = memory.trouble
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
        self._feed = feed
        if not self.conditions:
            self.tell()

    def condemn(self, digest: Digest, failure: Failure) -> None:
        """It is not tried again. Of a service that always fails the last ones are remembered, as in the journal."""
        self.failed.pop(digest, None)
        self.failed[digest] = failure
        while len(self.failed) > FAILED_KEPT:
            del self.failed[next(iter(self.failed))]

    def tell(self) -> None:
        """Say anew how the service stands, from the facts as they are now."""
        standing = Standing(
            self.serving, self.syncing, self.trouble, self.suspended, self.rolled_back, self.word, self.down
        )
        self.conditions = conditions(standing, self.conditions, datetime.now(UTC))
        lasting = _lasting(self.conditions)
        if lasting != self._kept and not self.gone and _is_known(self.conditions):
            self._kept = lasting
            plain = [condition.model_dump(mode="json") for condition in self.conditions if condition.type != "Syncing"]
            self._journal.later(lambda entries: entries.note_service(self.name, conditions=plain))

    def happened(
        self,
        kind: Kind,
        message: str,
        release: ReleaseId | None = None,
        *,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self._feed.happened(
            kind,
            message,
            service=self.name,
            release=release,
            sync=self.sync,
            revision=self.attempted,
            data=data,
            written=self._remember,
        )

    def passes(self, kind: Kind, message: str, *, data: Mapping[str, Any] | None = None) -> None:
        self._feed.passes(kind, message, service=self.name, release=self.candidate, sync=self.sync, data=data)

    def _remember(self, notice: Notice) -> None:
        if notice.id is not None:
            self.events.append(EventRow(**asdict(notice)))


def _lasting(told: tuple[Condition, ...]) -> list[tuple[str, str, str, datetime]]:
    """What a next control has to know to tell the same: not the wording, and not what is under way."""
    return [(one.type, one.status, one.reason, one.since) for one in told if one.type != "Syncing"]


def _is_known(told: tuple[Condition, ...]) -> bool:
    return any(one.type == "Ready" and one.status != "Unknown" for one in told)
