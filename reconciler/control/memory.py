"""What a former control knew and had said about each service, so that the next one tells the same story."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from reconciler.model.failure import Stalled
from reconciler.model.names import Digest, ServiceName
from reconciler.model.plan import Running
from reconciler.model.status import Condition
from reconciler.model.word import SILENT, Word
from reconciler.store.journal import Journal, Transaction
from reconciler.store.rows import EventRow, ServiceRow

EVENTS = 20
"""How many of the last events are told with a service."""


@dataclass(frozen=True, slots=True)
class Memory:
    failed: Mapping[Digest, Stalled] = field(default_factory=dict)
    """What was tried in vain; it stays so until a digest changes or somebody asks."""
    word: Word = SILENT
    """What people had said, which holds until they or git say something new."""
    conditions: tuple[Condition, ...] = ()
    events: tuple[EventRow, ...] = ()

    @property
    def rolled_back(self) -> str | None:
        """Why a release gave the traffic back by itself; a person's word says so on its own."""
        told = (one.message for one in self.conditions if one.type == "RolledBack" and self.word.held is None)
        return next(told, None)

    @property
    def trouble(self) -> Stalled | None:
        """What it was stalled by, so that this is said without a pause, and since when."""
        stalled = next((one for one in self.conditions if one.type == "Stalled"), None)
        if stalled is None:
            return None
        return next((one for one in self.failed.values() if _is_told_by(stalled, one)), None)

    def running(self) -> Running:
        """As the plan sees a service of which nothing runs."""
        return Running(
            failed=frozenset(self.failed),
            held=self.word.held,
            held_digest=self.word.held_digest,
            suspended=self.word.suspended,
        )


def _is_told_by(condition: Condition, failure: Stalled) -> bool:
    return condition.reason == failure.reason and condition.message.startswith(failure.message.rstrip("."))


NOTHING = Memory()


async def remember(journal: Journal) -> dict[ServiceName, Memory]:
    return await journal.write(_memories)


def _memories(entries: Transaction) -> dict[ServiceName, Memory]:
    failed: dict[ServiceName, dict[Digest, Stalled]] = {}
    for row in entries.failed_digests():
        told = Stalled(row.reason, row.message, problems=row.problems, detail=row.detail)
        failed.setdefault(row.service, {})[row.digest] = told
    rows = {row.name: row for row in entries.services()}
    return {name: _memory(entries, name, rows.get(name), failed.get(name, {})) for name in rows.keys() | failed.keys()}


def _memory(
    entries: Transaction, name: ServiceName, row: ServiceRow | None, failed: Mapping[Digest, Stalled]
) -> Memory:
    events = tuple(reversed(entries.last_events(name, EVENTS)))
    if row is None:
        return Memory(failed, events=events)
    return Memory(failed, Word(row.suspended, row.held, row.held_digest), _conditions(row), events)


def _conditions(row: ServiceRow) -> tuple[Condition, ...]:
    try:
        return tuple(Condition.model_validate(dict(condition)) for condition in row.conditions)
    except ValidationError:
        # Written by another version; what is true now is found out soon enough.
        return ()
