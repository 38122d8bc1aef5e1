"""Functions of a service that its worker was asked to call: which are under way, and what became of each.

Outcomes wait for somebody who asks. Not all of them were asked for, so only the last are kept.
"""

import asyncio
from typing import Final

from reconciler.model.run import Outcome, RunState
from reconciler.worker.lines import Message

UNCLAIMED: Final = 50
"""Outcomes that nobody has asked for yet: as many as a worker tells to one that connects later."""


class Calls:
    def __init__(self) -> None:
        self._running: frozenset[str] = frozenset()
        """Runs that the worker was busy with when this control met it."""
        self._outcomes: dict[str, asyncio.Future[Outcome]] = {}

    def __len__(self) -> int:
        """So many are asked for, or have ended and were not."""
        return len(self._outcomes)

    def __contains__(self, run: object) -> bool:
        return run in self._running or run in self._outcomes

    def outcome(self, run: str) -> "asyncio.Future[Outcome]":
        if run not in self._outcomes:
            self._outcomes[run] = asyncio.get_running_loop().create_future()
        return self._outcomes[run]

    def forget(self, run: str) -> None:
        self._outcomes.pop(run, None)

    def are_running(self, message: Message) -> None:
        self._running = frozenset(map(str, message.get("running", ())))

    def ended(self, message: Message) -> None:
        outcome = self.outcome(str(message["run"]))
        if not outcome.done():
            outcome.set_result(_outcome_of(message))
        told = [run for run, outcome in self._outcomes.items() if outcome.done()]
        for run in told[:-UNCLAIMED]:
            del self._outcomes[run]


def _outcome_of(message: Message) -> Outcome:
    detail = message.get("detail")
    return Outcome(RunState(message["state"]), str(message.get("message", "")), str(detail) if detail else None)
