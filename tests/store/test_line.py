"""Who comes from outside goes ahead of notes, keeps nobody waiting for ever, and changes no other order."""

import asyncio
import threading
from functools import partial
from pathlib import Path

from reconciler.store.journal import Journal, Transaction
from reconciler.store.line import FEW, MOST, Line
from tests.store.journals import START, in_journal


def filled(others: int, ahead: int = 0) -> Line[str]:
    line: Line[str] = Line()
    for number in range(others):
        line.put(f"note-{number}")
    for number in range(ahead):
        line.put(f"webhook-{number}", ahead=True)
    return line


def test_some_are_taken_at_a_time_in_order() -> None:
    line = filled(MOST + 1)
    assert line.take() == [f"note-{number}" for number in range(MOST)]
    assert line.take() == [f"note-{MOST}"]


def test_those_ahead_come_first_and_a_few_others_with_them() -> None:
    line = filled(100, ahead=3)
    few = [f"note-{number}" for number in range(FEW)]
    assert line.take() == ["webhook-0", "webhook-1", "webhook-2", *few]
    assert line.take()[0] == f"note-{FEW}"


def test_nobody_waits_for_ever_behind_those_ahead() -> None:
    line, seen = filled(5 * FEW), []
    for number in range(5):
        line.put(f"webhook-{number}", ahead=True)
        seen += [one for one in line.take() if one.startswith("note")]
    assert seen == [f"note-{number}" for number in range(5 * FEW)]


def test_whoever_had_no_turn_keeps_his_place() -> None:
    line = filled(10)
    taken = line.take()
    line.put("note-10")
    assert not line.is_urged(FEW)
    line.put("webhook", ahead=True)
    assert line.is_urged(FEW) and not line.is_urged(FEW - 1)
    line.put_back(taken[FEW:])
    assert line.take() == ["webhook", *(f"note-{number}" for number in range(FEW, 2 * FEW))]


def test_who_goes_ahead_is_not_put_back_for_another_who_does() -> None:
    line = filled(3 * FEW, ahead=FEW + 1)
    taken = line.take()
    line.put("late", ahead=True)
    assert not any(line.is_urged(done) for done in range(len(taken)))


def test_nobody_came_within_the_time() -> None:
    assert Line[str]().take(within=0.0) == []
    assert filled(1).take(within=0.0) == ["note-0"]


def test_it_is_over_when_nobody_waits_any_more() -> None:
    line = filled(1)
    line.end()
    assert line.take() == ["note-0"]
    assert line.take() == []


def test_a_webhook_does_not_wait_for_many_notes(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    held = threading.Event()

    async def scenario(journal: Journal) -> None:
        journal.later(lambda _: held.wait(10))
        for number in range(3 * MOST):
            journal.later(partial(note, number))
        receiving = journal.receive("a", "github", "guid", "push", "accepted", "a push to main", START)
        task = asyncio.create_task(receiving)
        await asyncio.sleep(0)
        held.set()
        await task

    def note(number: int, entries: Transaction) -> None:
        told.append((number, entries.webhooks().total))

    in_journal(tmp_path / "journal.db", scenario)
    assert [number for number, _ in told] == list(range(3 * MOST))
    assert sum(1 for _, webhooks in told if webhooks == 0) < MOST
